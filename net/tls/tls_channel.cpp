#include "net/tls/tls_channel.h"

#include <mbedtls/asn1.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "core/base/text.h"
#include "net/tls/time_floor.h"
#include "net/tls/tls_error.h"
#include "net/tls/verify_problem.h"

namespace wherry::tls {

namespace {

constexpr char kHandshakeRecord = 0x16;  // RFC 8446 section 5.1
constexpr int kSocketFailed = MBEDTLS_ERR_NET_SEND_FAILED;
constexpr size_t kMostNames = 16;

std::string_view View(const mbedtls_asn1_buf& bytes) {
  return {static_cast<const char*>(static_cast<const void*>(bytes.p)), bytes.len};
}

bool Printable(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != 0x7f;
  });
}

PeerName NameOf(const mbedtls_x509_crt& certificate) {
  PeerName name;
  for (const mbedtls_asn1_named_data* part = &certificate.subject; part != nullptr;
       part = part->next) {
    bool common = part->oid.p != nullptr && MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) == 0;
    if (common && Printable(View(part->val)))
      name.common_name = View(part->val);
  }
  constexpr int kDnsName = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME;
  for (const mbedtls_x509_sequence* entry = &certificate.subject_alt_names; entry != nullptr;
       entry = entry->next) {
    bool fits = entry->buf.tag == kDnsName && name.dns_names.size() < kMostNames;
    if (fits && Printable(View(entry->buf)))
      name.dns_names.emplace_back(View(entry->buf));
  }
  return name;
}

class Tls final : public Channel {
 public:
  Tls(UniqueFd fd, std::shared_ptr<const Config> config, std::string name)
      : fd_(std::move(fd)),
        config_(std::move(config)),
        name_(std::move(name)),
        wants_write_(config_->is_client()) {
    mbedtls_ssl_init(&ssl_);
  }
  ~Tls() override {
    EndSending();
    mbedtls_ssl_free(&ssl_);  // wipes keys and buffers
  }

  Result<> Begin(const std::string& host);

  int fd() const override { return fd_.get(); }
  IoResult Receive(std::span<char, kRecordBytes> out) override;
  IoResult Send(std::string_view bytes) override;
  uint32_t Events(bool receive, bool send) const override;
  bool MaySend(uint32_t events) const override {
    return (events & (connected_ ? uint32_t{EPOLLOUT} : EPOLLIN | EPOLLOUT)) != 0;
  }
  void EndSending() override;
  bool connected() const override { return connected_; }
  const PeerName* peer_name() const override { return peer_ ? &*peer_ : nullptr; }
  Error error() const override;

 private:
  static int OnSend(void* self_pointer, const unsigned char* bytes, size_t size);
  static int OnReceive(void* self_pointer, unsigned char* bytes, size_t size);
  static int OnVerify(void* self_pointer, mbedtls_x509_crt* certificate, int depth,
                      uint32_t* flags);
  bool Handshake(IoResult& result);
  bool ClientMayEnter();
  IoResult Discard(std::span<char, kRecordBytes> out);
  IoResult Outcome(int status);
  void AnswerPlain(char first);

  UniqueFd fd_;
  std::shared_ptr<const Config> config_;
  std::string name_;
  mbedtls_ssl_context ssl_;
  std::optional<PeerName> peer_;
  bool connected_ = false;
  bool wants_write_;    // of the handshake; a client begins it
  bool ended_ = false;  // sending has
  bool failed_ = false;
  bool received_any_ = false;
  bool received_data_ = false;
  bool refused_ = false;
  bool plain_ = false;
  size_t begun_ = 0;  // bytes of the record that is being sent
  int os_errno_ = 0;
  int status_ = 0;
  uint32_t verify_flags_ = 0;
  std::string names_;
};

Result<> Tls::Begin(const std::string& host) {
  if (mbedtls_ssl_setup(&ssl_, &config_->ssl()) != 0 ||
      (config_->is_client() && mbedtls_ssl_set_hostname(&ssl_, host.c_str()) != 0)) {
    return Fail(Errc::kNoSpace, Cat("out of memory for TLS with ", name_));
  }
  mbedtls_ssl_set_verify(&ssl_, &Tls::OnVerify, this);
  mbedtls_ssl_set_bio(&ssl_, this, &Tls::OnSend, &Tls::OnReceive, nullptr);
  return {};
}

int Tls::OnSend(void* self_pointer, const unsigned char* bytes, size_t size) {
  auto* self = static_cast<Tls*>(self_pointer);
  ssize_t count = send(self->fd_.get(), bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count >= 0)
    return static_cast<int>(count);
  if (errno == EAGAIN || errno == EINTR)
    return MBEDTLS_ERR_SSL_WANT_WRITE;
  self->os_errno_ = errno;
  return kSocketFailed;
}

int Tls::OnReceive(void* self_pointer, unsigned char* bytes, size_t size) {
  auto* self = static_cast<Tls*>(self_pointer);
  ssize_t count = recv(self->fd_.get(), bytes, size, MSG_DONTWAIT);
  if (count > 0) {
    if (!self->received_any_)
      self->AnswerPlain(static_cast<char>(bytes[0]));
    self->received_any_ = true;
    return static_cast<int>(count);
  }
  if (count == 0)
    return MBEDTLS_ERR_SSL_CONN_EOF;
  if (errno == EAGAIN || errno == EINTR)
    return MBEDTLS_ERR_SSL_WANT_READ;
  self->os_errno_ = errno;
  return kSocketFailed;
}

// Who begins with a letter speaks a protocol of lines, such as HTTP, and can read an answer.
void Tls::AnswerPlain(char first) {
  constexpr char kAlertRecord = 0x15;
  if (first == kHandshakeRecord || first == kAlertRecord)
    return;
  plain_ = true;
  const std::string& answer = config_->answers().plain;
  bool letter = (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
  if (letter && !answer.empty())
    (void)send(fd_.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ended_ = true;  // no alert behind it
}

// All of the chain comes here, the authority too. Only what mbedTLS says about the time is judged
// anew; and a server's own certificate that the administrator named is trusted as it is.
int Tls::OnVerify(void* self_pointer, mbedtls_x509_crt* certificate, int depth, uint32_t* flags) {
  auto* self = static_cast<Tls*>(self_pointer);
  *flags = CheckedAt(*certificate, JudgedAt(), *flags);
  if (depth == 0 && (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0 &&
      self->config_->trusted().Holds(*certificate)) {
    *flags &= ~uint32_t{MBEDTLS_X509_BADCERT_NOT_TRUSTED};
  }
  if ((*flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0)
    self->names_ = NamesOf(*certificate);
  self->verify_flags_ |= *flags;
  return 0;
}

IoResult Tls::Outcome(int status) {
  switch (status) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE:
    case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET:
      wants_write_ = status == MBEDTLS_ERR_SSL_WANT_WRITE;
      return {Io::kAgain};
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
      if (connected_)
        return {Io::kEnd};
      break;
    default:
      break;
  }
  failed_ = true;
  refused_ = plain_;
  status_ = status == kSocketFailed ? 0 : status;
  return {Io::kError};
}

bool Tls::Handshake(IoResult& result) {
  if (failed_) {
    result = {Io::kError};
    return false;
  }
  if (connected_)
    return true;
  if (int status = mbedtls_ssl_handshake(&ssl_); status != 0) {
    result = Outcome(status);
    return false;
  }
  if (!config_->is_client() && !ClientMayEnter()) {
    result = {Io::kError};
    return false;
  }
  connected_ = true;
  if (const mbedtls_x509_crt* certificate = mbedtls_ssl_get_peer_cert(&ssl_))
    peer_ = NameOf(*certificate);
  return true;
}

bool Tls::ClientMayEnter() {
  verify_flags_ |= mbedtls_ssl_get_verify_result(&ssl_);
  bool absent = mbedtls_ssl_get_peer_cert(&ssl_) == nullptr;
  if (verify_flags_ == 0 && !absent)
    return true;
  if (absent)
    verify_flags_ = 0;
  status_ = absent ? MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE : MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
  failed_ = true;
  refused_ = true;
  if (config_->answers().refusal != nullptr) {
    std::string answer = config_->answers().refusal(error().message());
    const void* bytes = answer.data();
    // The first bytes of a connection, which its socket takes.
    (void)mbedtls_ssl_write(&ssl_, static_cast<const unsigned char*>(bytes), answer.size());
  }
  (void)mbedtls_ssl_close_notify(&ssl_);
  EndSending();
  return false;
}

// What a refused client still sends: with it unread, the end of the connection would be a reset,
// and what it was told lost.
IoResult Tls::Discard(std::span<char, kRecordBytes> out) {
  ssize_t count = recv(fd_.get(), out.data(), out.size(), MSG_DONTWAIT);
  bool over = count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
  return {over ? Io::kEnd : Io::kAgain};
}

IoResult Tls::Receive(std::span<char, kRecordBytes> out) {
  if (refused_)
    return Discard(out);
  IoResult result{Io::kAgain};
  if (!Handshake(result))
    return result;
  for (;;) {
    void* bytes = out.data();
    int count = mbedtls_ssl_read(&ssl_, static_cast<unsigned char*>(bytes), out.size());
    if (count > 0) {
      received_data_ = true;
      return {Io::kDone, static_cast<size_t>(count)};
    }
    if (count == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
      continue;  // not used
    return Outcome(count == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : count);
  }
}

IoResult Tls::Send(std::string_view bytes) {
  IoResult result{Io::kAgain};
  if (!Handshake(result))
    return result;
  // A record that was begun is finished with the length it has, though there may be more by now.
  if (begun_ == 0)
    begun_ = std::min(bytes.size(), kRecordBytes);
  const void* data = bytes.data();
  int count = mbedtls_ssl_write(&ssl_, static_cast<const unsigned char*>(data), begun_);
  if (count <= 0)
    return Outcome(count);
  begun_ = 0;
  return {Io::kDone, static_cast<size_t>(count)};
}

uint32_t Tls::Events(bool receive, bool send) const {
  constexpr uint32_t kReadable = EPOLLIN;
  constexpr uint32_t kWritable = EPOLLOUT;
  if (refused_)
    return kReadable;
  if (failed_)
    return 0;
  if (!connected_)
    return wants_write_ ? kWritable : kReadable;
  return (receive ? kReadable : 0) | (send ? kWritable : 0);
}

void Tls::EndSending() {
  if (std::exchange(ended_, true))
    return;
  // Best effort: when the socket takes no more, the farewell is missing.
  if (connected_ && !failed_ && begun_ == 0)
    (void)mbedtls_ssl_close_notify(&ssl_);
  shutdown(fd_.get(), SHUT_WR);
}

Error Tls::error() const {
  return MakeTlsError({.peer = name_,
                       .status = status_,
                       .os_errno = os_errno_,
                       .verify_flags = connected_ ? 0 : verify_flags_,
                       .names = names_,
                       .config_section = config_->trust().config_section,
                       .we_are_client = config_->is_client(),
                       .has_identity = config_->has_identity(),
                       .plain = plain_,
                       .was_connected = connected_,
                       .answered = received_any_,
                       .received_data = received_data_});
}

}  // namespace

Result<std::unique_ptr<Channel>> TlsChannel(UniqueFd fd, std::shared_ptr<const Config> config,
                                            const std::string& host, std::string name) {
  auto channel = std::make_unique<Tls>(std::move(fd), std::move(config), std::move(name));
  TRY(channel->Begin(host));
  return channel;
}

}  // namespace wherry::tls
