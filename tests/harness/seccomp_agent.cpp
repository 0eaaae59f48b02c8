// Answers for system calls with SCMP_ACT_NOTIFY.
//
//   seccomp_agent PATH ERRNO
//
// Listens at PATH, and prints "ready". Of each listener of seccomp it is sent it prints the
// container's state, one line of JSON, and "call" for each system call, which fails with ERRNO, or
// goes on for 0.

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <vector>

namespace {

int Listen(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0 ||
      listen(listener, 8) < 0) {
    perror(path);
    exit(1);
  }
  return listener;
}

int ReceiveListener(int connection) {
  static char text[1 << 16];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec part{text, sizeof(text) - 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (size <= 0 || header == nullptr)
    return -1;
  printf("%.*s\n", static_cast<int>(size), text);
  int listener = -1;
  memcpy(&listener, CMSG_DATA(header), sizeof(listener));
  return listener;
}

void Answer(int listener, int error) {
  seccomp_notif request{};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
    return;  // the process has ended meanwhile
  puts("call");
  seccomp_notif_resp response{};
  response.id = request.id;
  response.error = -error;
  response.flags = error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3)
    return 2;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  std::vector<pollfd> wanted = {{Listen(argv[1]), POLLIN, 0}};
  puts("ready");
  while (poll(wanted.data(), wanted.size(), -1) > 0 || errno == EINTR) {
    const size_t listeners = wanted.size();
    if ((wanted[0].revents & POLLIN) != 0) {
      const int connection = accept(wanted[0].fd, nullptr, nullptr);
      const int listener = ReceiveListener(connection);
      close(connection);
      if (listener >= 0)
        wanted.push_back({listener, POLLIN, 0});
    }
    for (size_t i = 1; i < listeners; ++i) {
      if ((wanted[i].revents & POLLIN) != 0)
        Answer(wanted[i].fd, atoi(argv[2]));
      else if (wanted[i].revents != 0)
        wanted[i].fd = -1;  // no process has the filter any more
    }
  }
  return 1;
}
