# Writes OUTPUT, a header with a hash of SOURCES: code that another emitter made is not taken for this one's.
#   cmake -DOUTPUT=FILE -DSOURCES=FILE[,FILE...] -P emitter_version.cmake
set(all "")
string(REPLACE "," ";" SOURCES "${SOURCES}")
foreach(source IN LISTS SOURCES)
  file(SHA256 ${source} hash)
  string(APPEND all ${hash})
endforeach()
string(SHA256 hash "${all}")
string(SUBSTRING ${hash} 0 32 hash)
file(WRITE ${OUTPUT} "#pragma once\ninline constexpr const char* kEmitterVersion = \"${hash}\";\n")
