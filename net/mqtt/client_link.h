// The connection of a client: a stream and what cuts it into packets. Internal to the client.
#pragma once

#include "net/mqtt/client.h"

namespace wherry::mqtt {

class Client::Link final : public tls::StreamUser {
 public:
  Link(Client* client, std::unique_ptr<tls::Channel> channel, std::string name)
      : client_(client),
        framer_(client->options_.max_packet_bytes),
        stream_(std::in_place, client->loop_, std::move(channel), std::move(name), this) {}

  Result<> Start() { return stream_->Start(); }
  void Write(std::string_view bytes) {
    if (stream_)
      stream_->Write(bytes);
  }
  size_t pending() const { return stream_ ? stream_->pending() : 0; }
  void PauseReading(bool paused) {
    if (stream_)
      stream_->PauseReading(paused);
  }
  // Closes; nothing is told to the client any more.
  void Detach() {
    client_ = nullptr;
    stream_.reset();
  }

  void OnConnected() override {
    if (client_ != nullptr)
      client_->OnLinkConnected();
  }
  void OnData(std::string_view bytes) override {
    auto fed = framer_.Feed(bytes, [this](uint8_t first, std::string_view body) -> Result<> {
      if (client_ == nullptr)
        return Fail(Errc::kCancelled, "the connection was ended");
      return client_->OnPacket(first, body);
    });
    if (!fed && client_ != nullptr)
      client_->OnBadPacket(fed.error());
  }
  void OnDrained() override { PauseReading(false); }
  void OnEnd(const Error& error) override {
    if (client_ != nullptr)
      client_->OnLinkEnd(error);
  }

 private:
  Client* client_;
  Framer framer_;
  std::optional<tls::Stream> stream_;
};

}  // namespace wherry::mqtt
