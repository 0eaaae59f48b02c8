#include "net/mqtt/outgoing.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::mqtt {

namespace {

constexpr size_t kItemBytes = 200;  // besides its texts, about

size_t SizeOf(const Publish& packet) {
  size_t size = kItemBytes + packet.topic.size() + packet.payload.size();
  size += packet.properties.text(Property::kCorrelationData).size();
  size += packet.properties.text(Property::kResponseTopic).size();
  for (const UserProperty& property : packet.properties.user())
    size += property.name.size() + property.value.size();
  return size;
}

}  // namespace

Result<> Outgoing::Add(Publish packet, std::chrono::nanoseconds now, Done done) {
  size_t size = SizeOf(packet);
  if (items_.size() >= limits_.messages || bytes_ + size > limits_.bytes) {
    return Fail(Errc::kBusy, Cat("too many messages wait for the broker: ", items_.size(), " with ",
                                 bytes_, " bytes"));
  }
  Item item;
  if (auto seconds = packet.properties.number(Property::kMessageExpiry))
    item.expires = now + std::chrono::seconds(*seconds);
  item.packet = std::move(packet);
  item.done = std::move(done);
  bytes_ += size;
  items_.push_back(std::move(item));
  return {};
}

Outgoing::Item* Outgoing::Next(size_t window) {
  size_t in_flight = 0;
  for (Item& item : items_) {
    if (!item.in_flight)
      return in_flight < window ? &item : nullptr;
    ++in_flight;
  }
  return nullptr;
}

Outgoing::Item Outgoing::Remove(size_t index) {
  Item item = std::move(items_[index]);
  items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(index));
  bytes_ -= SizeOf(item.packet);
  return item;
}

std::optional<Outgoing::Item> Outgoing::Take(uint16_t id) {
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].in_flight && items_[i].packet.id == id)
      return Remove(i);
  }
  return std::nullopt;
}

std::optional<Outgoing::Item> Outgoing::TakeExpired(std::chrono::nanoseconds now) {
  for (size_t i = 0; i < items_.size(); ++i) {
    if (!items_[i].in_flight && items_[i].expires.count() != 0 && items_[i].expires <= now)
      return Remove(i);
  }
  return std::nullopt;
}

bool Outgoing::uses(uint16_t id) const {
  return std::any_of(items_.begin(), items_.end(),
                     [id](const Item& item) { return item.packet.id == id; });
}

void Outgoing::ConnectionLost() {
  for (Item& item : items_)
    item.in_flight = false;
}

void Outgoing::SessionLost() {
  for (Item& item : items_)
    item.sent_before = false;
}

}  // namespace wherry::mqtt
