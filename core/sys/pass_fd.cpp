#include "core/sys/pass_fd.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace wherry::sys {

Result<> SendFd(int socket, std::string_view bytes, int fd, std::string_view what) {
  struct iovec part{};
  part.iov_base = const_cast<char*>(bytes.data());  // of a structure that is for both directions
  part.iov_len = bytes.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  struct msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof(int));
  }
  while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR)
      return FailSys("sendmsg", what);
  }
  return {};
}

}  // namespace wherry::sys
