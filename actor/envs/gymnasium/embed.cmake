# cmake -DINPUT=worker.py -DOUTPUT=worker_script.c -P embed.cmake: a text file as an array in C.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"actor/envs/gymnasium/worker_script.h\"\n\n"
     "const unsigned char worker_script[] = {\n${bytes}\n};\n"
     "const unsigned worker_script_bytes = sizeof worker_script;\n")
