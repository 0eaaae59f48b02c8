// A scripted HTTP server on loopback: answers what the test's function says, one request per
// connection.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/fd.h"
#include "core/base/text.h"

namespace wherry::registry {

struct FakeRequest {
  std::string method;
  std::string target;                          // path and query
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;

  std::string header(const std::string& name) const {
    auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

struct FakeReply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  size_t send = std::string::npos;  // of the body, then the connection breaks
};

// `full` as a registry with ranges serves it.
inline FakeReply RangeReply(const FakeRequest& request, const std::string& full) {
  std::string range = request.header("range");
  if (!range.starts_with("bytes="))
    return {200, {}, full};
  size_t start = *ParseUint(std::string_view(range).substr(6, range.size() - 7));
  return {206,
          {{"Content-Range", Cat("bytes ", start, "-", full.size() - 1, "/", full.size())}},
          full.substr(start)};
}

class FakeRegistry {
 public:
  using Handler = std::function<FakeReply(const FakeRequest&)>;

  explicit FakeRegistry(Handler handler) : handler_(std::move(handler)) {
    listener_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(listen(listener_.get(), 16), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeRegistry() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  std::string name() const { return Cat("127.0.0.1:", port_); }
  std::vector<FakeRequest> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  // How many requests have `part` in their target.
  size_t Count(std::string_view part) {
    size_t count = 0;
    for (const FakeRequest& request : requests())
      count += request.target.find(part) != std::string::npos;
    return count;
  }

 private:
  void Serve() {
    for (;;) {
      UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection)
        return;
      timeval patience{5, 0};
      setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      ServeOne(connection.get());
    }
  }

  static bool ReadMore(int fd, std::string& text) {
    char piece[4096];
    ssize_t count = recv(fd, piece, sizeof piece, 0);
    if (count <= 0)
      return false;
    text.append(piece, static_cast<size_t>(count));
    return true;
  }

  void ServeOne(int fd) {
    std::string text;
    size_t end;
    while ((end = text.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore(fd, text) || text[0] == '\x16')
        return;  // a TLS greeting is not understood here
    }
    FakeRequest request;
    auto lines = Split(std::string_view(text).substr(0, end), '\n');
    auto words = Split(Trim(lines[0]), ' ');
    request.method = words[0];
    request.target = words[1];
    for (size_t i = 1; i < lines.size(); ++i) {
      auto pair = SplitFirst(lines[i], ':');
      if (pair)
        request.headers[ToLower(pair->head)] = Trim(pair->tail);
    }
    size_t length = 0;
    if (auto stated = ParseUint(request.header("content-length")))
      length = *stated;
    while (text.size() < end + 4 + length) {
      if (!ReadMore(fd, text))
        return;
    }
    request.body = text.substr(end + 4);
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    Answer(fd, request, handler_(request));
  }

  static void Answer(int fd, const FakeRequest& request, const FakeReply& reply) {
    std::string out = Cat("HTTP/1.1 ", reply.status, " X\r\nConnection: close\r\n");
    bool length_given = false;
    for (const auto& [name, value] : reply.headers) {
      Append(out, name, ": ", value, "\r\n");
      length_given |= name == "Content-Length";
    }
    if (!length_given)
      Append(out, "Content-Length: ", reply.body.size(), "\r\n");
    out += "\r\n";
    if (request.method != "HEAD")
      out += reply.body.substr(0, std::min(reply.send, reply.body.size()));
    for (size_t sent = 0; sent < out.size();) {
      ssize_t count = send(fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      if (count <= 0)
        return;
      sent += static_cast<size_t>(count);
    }
    shutdown(fd, SHUT_WR);
    std::string rest;
    while (ReadMore(fd, rest))
      continue;  // so that the client reads everything before the connection is reset
  }

  Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<FakeRequest> requests_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace wherry::registry
