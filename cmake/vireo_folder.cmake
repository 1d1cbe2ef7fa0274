# vireo_folder(TARGET FOLDER [LINK ...]): the static library made of all .cpp files that stand directly
# in FOLDER (not in its sub-folders, which are targets of their own).
function(vireo_folder target folder)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  if(sources)
    add_library(${target} STATIC ${sources})
    target_link_libraries(${target} PUBLIC vireo_flags ${ARG_LINK})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE vireo_flags ${ARG_LINK})
  endif()
endfunction()

# vireo_unit_tests(FOLDER LINK ...): one GoogleTest program from the .cpp files of tests/unit/FOLDER.
function(vireo_unit_tests folder)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" name "test_${folder}")
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  # Tests are compiled more often than they run; what they test is compiled with the preset's options.
  target_compile_options(${name} PRIVATE -O0)
  gtest_discover_tests(${name} TEST_PREFIX "${folder}/" DISCOVERY_TIMEOUT 300)
endfunction()
