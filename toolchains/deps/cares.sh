# A static C library would load the device's NSS modules for service names: ports are numbers here.
sed -i -E 's/sep = getservby(name|port)\(.*\);/sep = NULL;/' src/lib/ares_getaddrinfo.c src/lib/ares_getnameinfo.c
cmake "${CMAKE[@]}" -B b -S . -DCMAKE_C_FLAGS="$CFLAGS" \
  -DCMAKE_INSTALL_PREFIX="$PREFIX" -DCMAKE_INSTALL_LIBDIR=lib \
  -DCARES_STATIC=ON -DCARES_SHARED=OFF -DCARES_BUILD_TOOLS=OFF -DCARES_BUILD_TESTS=OFF -DCARES_THREADS=ON \
  -DCARES_SYMBOL_HIDING=ON -DHAVE_GETSERVBYNAME_R= -DHAVE_GETSERVBYPORT_R=
ninja -C b -j"$JOBS" install
