# Assembles the option ROM SOURCE with NASM into BINARY such that its bytes sum to 0 (the source takes CHECKSUM from
# the command line), and writes BINARY.inc for C++.
include(${CMAKE_CURRENT_LIST_DIR}/cpp_bytes.cmake)
function(assemble checksum)
  execute_process(COMMAND ${NASM} -f bin -Wall -Werror -DCHECKSUM=${checksum} -MD ${BINARY}.d -MT ${BINARY}
                          -o ${BINARY} ${SOURCE}
                  COMMAND_ERROR_IS_FATAL ANY)
  file(READ ${BINARY} hex HEX)
  set(hex ${hex} PARENT_SCOPE)
endfunction()

assemble(0)
string(REGEX MATCHALL "[0-9a-f][0-9a-f]" bytes "${hex}")
set(sum 0)
foreach(byte ${bytes})
  math(EXPR sum "(${sum} + 0x${byte}) & 255")
endforeach()
math(EXPR checksum "(256 - ${sum}) & 255")
assemble(${checksum})
write_cpp_bytes(${BINARY} ${BINARY}.inc)
