# Assembles the bare-metal guest SOURCE with NASM, puts it behind BOOT_SECTOR into the disk image IMAGE, and writes
# LIST, its bytes for C++.
include(${CMAKE_CURRENT_LIST_DIR}/cpp_bytes.cmake)
get_filename_component(folder ${SOURCE} DIRECTORY)
execute_process(COMMAND ${NASM} -f bin -Wall -Werror -i ${folder}/ -o ${IMAGE}.guest ${SOURCE}
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NASM} -f bin -Wall -Werror "-DGUEST='${IMAGE}.guest'" -o ${IMAGE} ${BOOT_SECTOR}
                COMMAND_ERROR_IS_FATAL ANY)
write_cpp_bytes(${IMAGE} ${LIST})
