# write_cpp_bytes(BINARY LIST): writes the bytes of BINARY to LIST as a comma-separated list of C++ values.
function(write_cpp_bytes binary list)
  file(READ ${binary} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," values "${hex}")
  file(WRITE ${list} "${values}\n")
endfunction()
