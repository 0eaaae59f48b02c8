// What a service does with sd_notify(3): sends each argument as a message to NOTIFY_SOCKET.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char** argv) {
  const char* path = getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || strlen(path) >= sizeof address.sun_path) {
    fprintf(stderr, "no NOTIFY_SOCKET\n");
    return 2;
  }
  strcpy(address.sun_path, path);
  int socket_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  for (int i = 1; i < argc; ++i) {
    const void* generic = &address;
    if (sendto(socket_fd, argv[i], strlen(argv[i]), MSG_NOSIGNAL,
               static_cast<const sockaddr*>(generic), sizeof address) < 0) {
      perror(path);
      return 1;
    }
  }
  return 0;
}
