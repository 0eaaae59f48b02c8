#include "engine/container_attach.h"

#include "core/base/text.h"

namespace wherry::engine {

namespace {

// Beyond this many unsent bytes the other side has to wait.
constexpr size_t kHighWater = 256 << 10;

Result<char> ParseKey(std::string_view key) {
  if (key.size() == 1)
    return key[0];
  constexpr std::string_view kControl = "ctrl-";
  if (key.size() == kControl.size() + 1 && key.starts_with(kControl)) {
    char c = key.back();
    if (c >= 'a' && c <= 'z')
      return static_cast<char>(c - 'a' + 1);
    if (c >= '@' && c <= '_')
      return static_cast<char>(c - '@');
  }
  return Fail(Errc::kInvalid, Cat("Unknown character: '", key, "' in detach keys"));
}

}  // namespace

Result<std::string> ParseDetachKeys(std::string_view text) {
  std::string keys;
  if (text.empty())
    return keys;
  for (std::string_view key : Split(text, ','))
    keys += TRY(ParseKey(key));
  return keys;
}

bool DetachFilter::Feed(std::string_view input, std::string& out) {
  if (keys_.empty()) {
    out += input;
    return false;
  }
  for (char c : input) {
    if (c != keys_[matched_]) {
      out.append(keys_, 0, matched_);
      matched_ = 0;
    }
    if (c != keys_[matched_]) {
      out += c;
    } else if (++matched_ == keys_.size()) {
      return true;
    }
  }
  return false;
}

AttachSession::AttachSession(std::shared_ptr<http::Stream> stream, AttachOptions options)
    : stream_(std::move(stream)),
      options_(std::move(options)),
      detach_(options_.tty ? options_.detach_keys : "") {}

void AttachSession::Begin() {
  std::weak_ptr<AttachSession> weak = weak_from_this();
  stream_->OnData([weak](std::string_view bytes) {
    if (auto self = weak.lock())
      self->FromClient(bytes);
  });
  stream_->OnReadEnd([weak] {
    if (auto self = weak.lock())
      self->ClientFinished();
  });
  // The stream keeps the session alive until the client is gone or the session closes it.
  stream_->OnClose([self = shared_from_this()] { self->ClientGone(); });
  stream_->PauseReading(options_.with_stdin);
}

Result<> AttachSession::Connect(Loop* loop, const std::string& run_directory) {
  if (closed())
    return {};
  shim_ = TRY(ShimConnection::Connect(loop, run_directory));
  std::weak_ptr<AttachSession> weak = weak_from_this();
  shim_->OnFrame([weak](uint8_t kind, std::string_view frame) {
    if (auto self = weak.lock())
      self->FromShim(kind, frame);
  });
  shim_->OnClose([weak] {
    auto self = weak.lock();
    if (!self)
      return;
    self->shim_ended_ = true;
    if (!self->held_)
      self->Close();
  });
  shim_->OnDrain([weak] {
    if (auto self = weak.lock(); self && !self->closed())
      self->stream_->PauseReading(false);
  });
  stream_->OnDrain([weak] {
    if (auto self = weak.lock(); self && self->shim_)
      self->shim_->PauseReading(false);
  });
  char flags = static_cast<char>((options_.with_stdin ? shim::kWantStdin : 0) |
                                 (options_.with_stdout ? shim::kWantStdout : 0) |
                                 (options_.with_stderr ? shim::kWantStderr : 0));
  shim_->Send(shim::kAttach, std::string_view(&flags, 1));
  stream_->PauseReading(false);
  return {};
}

void AttachSession::Release() {
  held_ = false;
  if (shim_ended_)
    Close();
}

void AttachSession::CloseWith(std::string_view message) {
  if (closed())
    return;
  if (!options_.tty)
    stream_->Write(FrameHeader(shim::kStderr, message.size()));
  stream_->Write(message);
  Close();
}

void AttachSession::Close() {
  auto self = shared_from_this();
  if (shim_)
    shim_->Close();
  if (auto stream = std::move(stream_))
    stream->Close();
}

void AttachSession::FromShim(uint8_t kind, std::string_view frame) {
  if (closed() || (kind != shim::kStdout && kind != shim::kStderr))
    return;
  stream_->Write(options_.tty ? FramePayload(frame) : frame);
  if (!closed() && stream_->pending() > kHighWater)
    shim_->PauseReading(true);
}

void AttachSession::FromClient(std::string_view bytes) {
  if (closed() || !options_.with_stdin || !shim_)
    return;
  std::string typed;
  bool detach = detach_.Feed(bytes, typed);
  if (!typed.empty())
    shim_->Send(shim::kStdin, typed);
  if (detach) {
    if (on_detach_)
      on_detach_();
    Close();
    return;
  }
  if (shim_->pending() > kHighWater)
    stream_->PauseReading(true);
}

// Docker ends the whole session when its input ends, unless the container's own input was meant to
// end with it.
void AttachSession::ClientFinished() {
  if (closed() || !options_.with_stdin || !shim_)
    return;
  if (options_.stdin_once && !options_.tty) {
    shim_->Send(shim::kCloseStdin);
  } else {
    Close();
  }
}

void AttachSession::ClientGone() {
  auto self = shared_from_this();
  if (shim_)
    shim_->Close();
  stream_.reset();
}

}  // namespace wherry::engine
