# Run as a script: cmake -DOUT=assets.c -DFILES="/=…/index.html;/page.css=…/page.css" -P assets.cmake
# Writes a C file with the bytes of these files, as cp_assets (monitor/asset.h).
set(types html "text/html; charset=utf-8" css "text/css; charset=utf-8" js "text/javascript; charset=utf-8"
    txt "text/plain; charset=utf-8")
set(arrays "")
set(entries "")
set(index 0)
foreach(pair ${FILES})
  string(REGEX MATCH "^([^=]*)=(.*)$" unused "${pair}")
  set(path "${CMAKE_MATCH_1}")
  set(file "${CMAKE_MATCH_2}")
  cmake_path(GET file EXTENSION LAST_ONLY extension)
  string(SUBSTRING "${extension}" 1 -1 extension)
  list(FIND types "${extension}" at)
  math(EXPR at "${at} + 1")
  list(GET types ${at} type)
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n    "
         bytes "${bytes}")
  string(APPEND arrays "static const unsigned char bytes_${index}[] = {\n    ${bytes}0x00};\n"
                       "static const size_t size_${index} = sizeof bytes_${index} - 1;\n\n")
  string(APPEND entries "    {\"${path}\", \"${type}\", bytes_${index}, &size_${index}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE "${OUT}" "#include \"monitor/asset.h\"\n\n${arrays}const cp_asset cp_assets[] = {\n${entries}    {NULL, NULL, NULL, NULL},\n};\n")
