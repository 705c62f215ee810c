# Warnings are errors, for every target; sanitizers by COLDPATH_SANITIZE.
add_compile_definitions(_GNU_SOURCE)
add_compile_options(
  -Wall -Wextra -Werror -Wshadow -Wconversion $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes> -Wpointer-arith
  -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -fno-common
  -fvisibility=hidden -fno-omit-frame-pointer -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(COLDPATH_FAILPOINTS)
  add_compile_definitions(COLDPATH_FAILPOINTS)
endif()
if(COLDPATH_SANITIZE)
  add_compile_options(-fsanitize=${COLDPATH_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${COLDPATH_SANITIZE})
  # gcc says that ThreadSanitizer does not see fences. There are two, towards other processes, into which it does not see at all.
  if(COLDPATH_SANITIZE MATCHES thread AND CMAKE_C_COMPILER_ID STREQUAL GNU)
    add_compile_options(-Wno-tsan)
  endif()
else()
  add_compile_options($<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

# With clang, all code counts its branches for libFuzzer; tests/fuzz links the engine itself in.
option(COLDPATH_FUZZ "build the fuzz targets for libFuzzer; needs clang" OFF)
if(COLDPATH_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "COLDPATH_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
