// A client of D-Bus: calls that wait for their answer, and one kind of signal. Over a socket of a
// message bus, or one whose other end is the called program itself (D-Bus specification,
// "Authentication Protocol": EXTERNAL; the other side takes the caller's user from the socket). One
// thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/sys/dbus_message.h"

namespace wherry::sys {

class DbusConnection {
 public:
  enum class Peer : uint8_t { kProgram, kBus };
  // `signal`: the member of the signals to keep. With a bus, what it is to pass on has to be asked
  // for (AddMatch). Nothing takes longer than `timeout`: kTimeout.
  static Result<DbusConnection> Open(const std::string& path, Peer peer, std::string signal,
                                     std::chrono::milliseconds timeout);

  Peer peer() const { return peer_; }

  // The reply. An error is one of the same text, with a code by its name: kExists (UnitExists,
  // FileExists), kNotFound (NoSuchUnit, ...), kUnsupported for properties and methods that the
  // program does not have, kDenied, kInvalid; kUnavailable for any other.
  Result<DbusMessage> Call(DbusMessage call);
  // The first signal kept, or to come, that `wanted` accepts.
  Result<DbusMessage> AwaitSignal(const std::function<bool(const DbusMessage&)>& wanted);

 private:
  DbusConnection(UniqueFd socket, Peer peer, std::string signal, std::chrono::milliseconds timeout)
      : socket_(std::move(socket)), peer_(peer), signal_(std::move(signal)), timeout_(timeout) {}
  Result<> Authenticate();
  Result<std::string> ReadLine();
  Result<> Send(std::string_view bytes);
  Result<size_t> Receive(char* to, size_t size);
  Result<> Fill(std::string& bytes, size_t size);
  Result<DbusMessage> Read();

  UniqueFd socket_;
  Peer peer_;
  std::string signal_;
  std::chrono::milliseconds timeout_;
  std::chrono::nanoseconds deadline_{};  // of what is done now, as Uptime tells it
  uint32_t last_serial_ = 0;
  std::vector<DbusMessage> signals_;
};

}  // namespace wherry::sys
