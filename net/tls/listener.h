// Listening TCP sockets.
#pragma once

#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::tls {

// "10.0.0.1:2376", "0.0.0.0:2376", "[::]:2376" (with IPv4). kInvalid for other text: names are not
// looked up. kBusy when another process has the port. Port 0: any that is free.
Result<UniqueFd> ListenTcp(const std::string& address);
// That the text is such an address.
Result<> CheckListenAddress(const std::string& address);

// Where the other side of a TCP connection is: "10.0.0.5:41312"; "a client" when that is not known.
std::string PeerAddress(int fd);

}  // namespace wherry::tls
