#include "engine/shim_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr size_t kReadSize = 64 << 10;

// `name` is the path as messages show it.
Result<UniqueFd> ConnectTo(const std::string& path, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Fail(Errc::kInvalid, Cat(name, " is too long for a socket"));
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_fd)
    return FailSys("socket");
  const void* raw = &address;
  if (connect(socket_fd.get(), static_cast<const sockaddr*>(raw), sizeof address) != 0)
    return FailSys("connect", name);
  return socket_fd;
}

uint32_t PayloadSize(std::string_view header) {
  uint32_t size = 0;
  for (size_t i = 4; i < 8; ++i)
    size = (size << 8) | static_cast<uint8_t>(header[i]);
  return size;
}

}  // namespace

std::string FrameHeader(uint8_t kind, size_t payload_size) {
  std::string header(ShimConnection::kHeaderSize, '\0');
  header[0] = static_cast<char>(kind);
  for (size_t i = 0; i < 4; ++i)
    header[7 - i] = static_cast<char>(payload_size >> (8 * i));
  return header;
}

std::string ResizePayload(uint16_t rows, uint16_t columns) {
  return {static_cast<char>(rows >> 8), static_cast<char>(rows), static_cast<char>(columns >> 8),
          static_cast<char>(columns)};
}

Result<std::shared_ptr<ShimConnection>> ShimConnection::Connect(Loop* loop,
                                                                const std::string& run_directory) {
  const std::string name = Cat(run_directory, "/", shim::kSocketName);
  std::string path = name;
  UniqueFd directory;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    directory = TRY(Open(run_directory, O_PATH | O_DIRECTORY));
    path = Cat("/proc/self/fd/", directory.get(), "/", shim::kSocketName);
  }
  UniqueFd socket_fd = TRY(ConnectTo(path, name));
  std::shared_ptr<ShimConnection> connection(new ShimConnection(loop, std::move(socket_fd)));
  connection->events_ = EPOLLIN;
  TRY(connection->Watch(EPOLLIN));
  return connection;
}

ShimConnection::~ShimConnection() {
  Close();
}

void ShimConnection::Send(shim::Kind kind, std::string_view payload) {
  if (closed() || finish_)
    return;
  do {
    std::string_view part = payload.substr(0, shim::kMaxPayload);
    payload.remove_prefix(part.size());
    output_ += FrameHeader(kind, part.size());
    output_ += part;
  } while (!payload.empty());
  Flush();
}

void ShimConnection::PauseReading(bool paused) {
  paused_ = paused;
  UpdateEvents();
}

void ShimConnection::FinishSending() {
  if (closed() || finish_)
    return;
  finish_ = true;
  Flush();
}

void ShimConnection::Close() {
  if (closed())
    return;
  loop_->Remove(socket_.get());
  socket_.Reset();
}

void ShimConnection::HandleEvents(uint32_t events) {
  auto self = shared_from_this();  // a callback may drop the last reference
  if ((events & EPOLLOUT) != 0)
    Flush();
  if (closed() || paused_)
    return;
  if ((events & EPOLLIN) != 0) {
    Read();
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    PeerGone();
  }
}

void ShimConnection::Read() {
  static char buffer[kReadSize];  // one loop thread
  ssize_t count = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (count > 0) {
    input_.append(buffer, static_cast<size_t>(count));
    if (Dispatch() && input_.empty())
      input_.shrink_to_fit();
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    PeerGone();
  }
}

bool ShimConnection::Dispatch() {
  size_t done = 0;
  while (input_.size() - done >= kHeaderSize) {
    std::string_view rest = std::string_view(input_).substr(done);
    uint32_t size = PayloadSize(rest);
    if (size > shim::kMaxPayload) {
      PeerGone();
      return false;
    }
    if (rest.size() < kHeaderSize + size)
      break;
    std::string_view frame = rest.substr(0, kHeaderSize + size);
    if (on_frame_)
      on_frame_(static_cast<uint8_t>(frame[0]), frame);
    if (closed())
      return false;
    done += frame.size();
  }
  input_.erase(0, done);
  return true;
}

void ShimConnection::Flush() {
  bool had_output = !output_.empty();
  while (!output_.empty()) {
    ssize_t count = send(socket_.get(), output_.data(), output_.size(), MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR)
        continue;
      if (errno != EAGAIN)
        output_.clear();  // the end of the peer shows up in Read
      break;
    }
    output_.erase(0, static_cast<size_t>(count));
  }
  if (output_.empty() && finish_)
    shutdown(socket_.get(), SHUT_WR);
  UpdateEvents();
  if (had_output && output_.empty() && on_drain_)
    on_drain_();
}

// Without anything to wait for the descriptor leaves the loop: a hang-up would be reported again
// and again.
void ShimConnection::UpdateEvents() {
  if (closed())
    return;
  uint32_t wanted = (paused_ ? 0U : EPOLLIN) | (output_.empty() ? 0U : EPOLLOUT);
  if (wanted == events_)
    return;
  Result<> changed;
  if (wanted == 0) {
    loop_->Remove(socket_.get());
  } else if (events_ == 0) {
    changed = Watch(wanted);
  } else {
    changed = loop_->Modify(socket_.get(), wanted);
  }
  events_ = wanted;
  if (!changed)
    PeerGone();
}

Result<> ShimConnection::Watch(uint32_t events) {
  return loop_->Add(socket_.get(), events, [weak = weak_from_this()](uint32_t happened) {
    if (auto self = weak.lock())
      self->HandleEvents(happened);
  });
}

void ShimConnection::PeerGone() {
  if (closed())
    return;
  Close();
  if (on_close_)
    on_close_();
}

}  // namespace wherry::engine
