#include "net/tls/stream.h"

#include <array>

#include "core/base/text.h"

namespace wherry::tls {

namespace {

constexpr size_t kCompactAbove = 16 << 10;

}  // namespace

Stream::Stream(Loop* loop, std::unique_ptr<Channel> channel, std::string name, StreamUser* user)
    : loop_(loop),
      channel_(std::move(channel)),
      name_(std::move(name)),
      user_(user),
      alive_(std::make_shared<char>()) {}

Stream::~Stream() {
  if (watched_)
    loop_->Remove(channel_->fd());
}

Result<> Stream::Start() {
  interest_ = channel_->Events(true, false);
  TRY(loop_->Add(channel_->fd(), interest_, [this](uint32_t events) { OnEvents(events); }));
  watched_ = true;
  if (channel_->connected())
    Later(0);
  return {};
}

void Stream::Later(uint32_t events) {
  loop_->Post([this, alive = Alive(alive_), events] {
    if (!alive.expired())
      OnEvents(events);
  });
}

void Stream::OnEvents(uint32_t events) {
  if (ended_)
    return;
  Alive alive = alive_;
  if (!Announce(alive))
    return;
  bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (broken_ || (paused_ && gone)) {
    End(channel_->error());
    return;
  }
  bool readable = (events & EPOLLIN) != 0 || gone;
  if ((!channel_->connected() || (readable && !paused_)) && !Receive(alive))
    return;
  if (pending() > 0 && channel_->MaySend(events) && !Flush(alive))
    return;
  UpdateInterest();
}

bool Stream::Announce(const Alive& alive) {
  if (announced_ || !channel_->connected())
    return true;
  announced_ = true;
  user_->OnConnected();
  return !alive.expired();
}

bool Stream::Receive(const Alive& alive) {
  std::array<char, kRecordBytes> buffer;
  IoResult result = channel_->Receive(buffer);
  if (!Announce(alive))
    return false;
  switch (result.io) {
    case Io::kDone:
      user_->OnData(std::string_view(buffer.data(), result.count));
      return !alive.expired();
    case Io::kAgain:
      return true;
    case Io::kEnd:
      End(Error(Errc::kUnavailable, Cat(name_, " closed the connection")));
      return false;
    case Io::kError:
      End(channel_->error());
      return false;
  }
  return true;
}

void Stream::Write(std::string_view bytes) {
  if (ended_ || broken_ || bytes.empty())
    return;
  if (taken_ >= kCompactAbove)
    output_.erase(0, std::exchange(taken_, 0));
  bool idle = pending() == 0;
  output_ += bytes;
  if (!idle || !channel_->connected())
    return UpdateInterest();
  if (!SendSome())
    Later(0);  // the user hears of it from the loop
  UpdateInterest();
}

// False when sending failed.
bool Stream::SendSome() {
  while (pending() > 0) {
    IoResult result = channel_->Send(std::string_view(output_).substr(taken_));
    if (result.io == Io::kAgain)
      return true;
    if (result.io != Io::kDone) {
      broken_ = true;
      return false;
    }
    taken_ += result.count;
  }
  std::string().swap(output_);
  taken_ = 0;
  return true;
}

bool Stream::Flush(const Alive& alive) {
  if (!SendSome()) {
    End(channel_->error());
    return false;
  }
  if (pending() == 0)
    user_->OnDrained();
  return !alive.expired();
}

void Stream::PauseReading(bool paused) {
  paused_ = paused;
  UpdateInterest();
}

void Stream::UpdateInterest() {
  if (!watched_)
    return;
  uint32_t wanted = channel_->Events(!paused_, pending() > 0);
  if (wanted == interest_)
    return;
  interest_ = wanted;
  if (!loop_->Modify(channel_->fd(), wanted)) {
    broken_ = true;
    Later(0);
  }
}

void Stream::End(const Error& error) {
  ended_ = true;
  if (watched_)
    loop_->Remove(channel_->fd());
  watched_ = false;
  user_->OnEnd(error);
}

}  // namespace wherry::tls
