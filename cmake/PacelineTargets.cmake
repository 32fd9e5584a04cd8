# paceline_library(NAME SOURCES … HEADERS … PUBLIC … PRIVATE …): the target of one folder, paceline::NAME.
# Headers are included as "paceline/NAME/…" in the tree (through a link in the build folder) and installed the same way.
function(paceline_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;PUBLIC;PRIVATE" ${ARGN})
  set(include ${PROJECT_BINARY_DIR}/include)
  file(MAKE_DIRECTORY ${include}/paceline)
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${include}/paceline/${name} SYMBOLIC)
  list(TRANSFORM ARG_HEADERS PREPEND ${include}/paceline/${name}/)
  add_library(paceline_${name} STATIC ${ARG_SOURCES})
  add_library(paceline::${name} ALIAS paceline_${name})
  set_target_properties(paceline_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON
                        VERIFY_INTERFACE_HEADER_SETS ON)
  target_sources(paceline_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${include} FILES ${ARG_HEADERS})
  target_link_libraries(paceline_${name} PUBLIC paceline::result ${ARG_PUBLIC} PRIVATE $<BUILD_INTERFACE:paceline::warnings> ${ARG_PRIVATE})
  install(TARGETS paceline_${name} EXPORT paceline FILE_SET HEADERS)
endfunction()

# paceline_test(NAME SOURCES … LIBRARIES … LABELS … TIMEOUT seconds): a GoogleTest program whose tests CTest lists one by
# one, named after their folder: net.Slot.…; the target check_FOLDER builds all of a folder.
function(paceline_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} paceline::warnings GTest::gmock_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  if(NOT TARGET check_${folder})
    add_custom_target(check_${folder})
  endif()
  add_dependencies(check_${folder} ${name})
  gtest_discover_tests(${name} TEST_PREFIX ${folder}. DISCOVERY_TIMEOUT 60 PROPERTIES
    LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "PACELINE_CACHE=${PROJECT_BINARY_DIR}/cache")
endfunction()
