#include "net/http/curl_transfer.h"

#include <curl/curl.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "net/http/curl_error.h"
#include "net/http/curl_url.h"
#include "net/tls/time_floor.h"
#include "net/tls/trusted_certificates.h"
#include "net/tls/verify_problem.h"

namespace wherry::http {

namespace {

constexpr size_t kBufferLimit = 64 << 10;  // more than this is left in the socket
constexpr long kCurlBuffer = 32 << 10;
constexpr int kPollMs = 500;
constexpr size_t kMaxHeaders = 200;
constexpr long kIdleConnections = 4;

// Go's rule, and so Docker's: what runs on this machine is never asked for through a proxy.
constexpr std::string_view kNeverProxied = "localhost,127.0.0.0/8,::1";

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string_view Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// libcurl reads the other variables itself. It leaves HTTP_PROXY alone because a CGI program gets
// it from its client; that this is one shows by REQUEST_METHOD.
void SetProxy(CURL* easy, const Origin& origin) {
  if (origin.scheme == "http" && Environment("http_proxy").empty() &&
      Environment("REQUEST_METHOD").empty()) {
    std::string upper(Environment("HTTP_PROXY"));
    if (!upper.empty())
      curl_easy_setopt(easy, CURLOPT_PROXY, upper.c_str());
  }
  std::string_view direct = Environment("no_proxy");
  if (direct.empty())
    direct = Environment("NO_PROXY");
  std::string list =
      direct == "*" ? std::string(direct) : Cat(direct, direct.empty() ? "" : ",", kNeverProxied);
  curl_easy_setopt(easy, CURLOPT_NOPROXY, list.c_str());
}

class Transfer final : public CurlTransfer {
 public:
  Transfer(CURLM* multi, const SessionOptions& options) : multi_(multi), options_(options) {}
  ~Transfer() override {
    if (added_)
      curl_multi_remove_handle(multi_, easy_.get());
  }

  Result<> Begin(const CurlRequest& request);
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  static size_t OnHeader(char* data, size_t size, size_t count, void* self_pointer);
  static size_t OnBody(char* data, size_t size, size_t count, void* self_pointer);
  static CURLcode OnTlsConfig(CURL* easy, void* config_pointer, void* self_pointer);
  static int OnVerify(void* self_pointer, mbedtls_x509_crt* certificate, int depth,
                      uint32_t* flags);
  void SetCommon(const std::string& url);
  void SetTls(const TlsOptions& tls);
  Result<> CheckTrust(const TlsOptions& tls) const;
  void AddHeader(const std::string& line);
  void SetRequest(const CurlRequest& request);
  // Of the request's body, so far.
  curl_off_t Sent() const;
  // Drives the transfer until there is something to read or it is over.
  enum class Until : uint8_t { kHead, kBody };
  Result<> Advance(Until until);
  Result<> Step();
  Error Failure(CURLcode code) const;

  CURLM* multi_;
  const SessionOptions& options_;
  std::unique_ptr<CURL, EasyDeleter> easy_;
  std::unique_ptr<curl_slist, ListDeleter> list_;
  std::optional<tls::TrustedCertificates> trusted_;
  std::array<char, CURL_ERROR_SIZE> detail_{};
  std::string host_;
  bool added_ = false;
  bool head_done_ = false;
  bool done_ = false;
  bool paused_ = false;
  CURLcode result_ = CURLE_OK;
  uint32_t verify_flags_ = 0;
  std::string names_;
  std::string buffer_;
  size_t read_at_ = 0;
};

size_t Transfer::OnHeader(char* data, size_t size, size_t count, void* self_pointer) {
  auto* self = static_cast<Transfer*>(self_pointer);
  std::string_view line = Trim(std::string_view(data, size * count));
  if (line.starts_with("HTTP/")) {
    self->headers_.clear();  // an interim answer, or the proxy's, came before
  } else if (auto split = SplitFirst(line, ':'); split && self->headers_.size() < kMaxHeaders) {
    self->headers_.push_back({std::string(split->head), std::string(Trim(split->tail))});
  } else if (line.empty()) {
    long status = 0;
    curl_easy_getinfo(self->easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    self->head_done_ = status >= 200;
  }
  return size * count;
}

size_t Transfer::OnBody(char* data, size_t size, size_t count, void* self_pointer) {
  auto* self = static_cast<Transfer*>(self_pointer);
  if (self->buffer_.size() >= kBufferLimit) {
    self->paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  self->buffer_.append(data, size * count);
  return size * count;
}

// Remembers why a certificate was refused; whether it is refused stays mbedTLS's decision, but for
// what the time is, and a server's own certificate that the administrator named.
int Transfer::OnVerify(void* self_pointer, mbedtls_x509_crt* certificate, int depth,
                       uint32_t* flags) {
  auto* self = static_cast<Transfer*>(self_pointer);
  *flags = tls::CheckedAt(*certificate, tls::JudgedAt(), *flags);
  if (depth == 0 && (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0 &&
      self->trusted_->Holds(*certificate)) {
    *flags &= ~uint32_t{MBEDTLS_X509_BADCERT_NOT_TRUSTED};
  }
  if ((*flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0)
    self->names_ = tls::NamesOf(*certificate);
  self->verify_flags_ |= *flags;
  return 0;
}

CURLcode Transfer::OnTlsConfig(CURL*, void* config_pointer, void* self_pointer) {
  auto* config = static_cast<mbedtls_ssl_config*>(config_pointer);
  auto* self = static_cast<Transfer*>(self_pointer);
  mbedtls_ssl_conf_ca_cb(config, &tls::TrustedCertificates::FindSigners, &*self->trusted_);
  mbedtls_ssl_conf_cert_profile(
      config, &mbedtls_x509_crt_profile_default);  // no SHA-1, no RSA below 2048 bits
  mbedtls_ssl_conf_verify(config, &Transfer::OnVerify, self);
  return CURLE_OK;
}

void Transfer::SetTls(const TlsOptions& tls) {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  if (tls.verify) {
    trusted_.emplace(tls.ca_files);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Transfer::OnTlsConfig);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
  }
  if (!tls.cert_file.empty())
    curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.cert_file.c_str());
  if (!tls.key_file.empty())
    curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.key_file.c_str());
}

void Transfer::SetCommon(const std::string& url) {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail_.data());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kCurlBuffer);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT,
                   static_cast<long>(options_.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
}

void Transfer::AddHeader(const std::string& line) {
  curl_slist* longer = curl_slist_append(list_.get(), line.c_str());
  if (longer == nullptr)
    return;
  (void)list_.release();
  list_.reset(longer);
}

void Transfer::SetRequest(const CurlRequest& request) {
  CURL* easy = easy_.get();
  if (request.method == "HEAD")
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (request.method == "POST" || request.method == "PUT" || request.method == "PATCH") {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    // An empty view may have no address, which would mean that a function gives the body.
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.empty() ? "" : request.body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    AddHeader("Expect:");  // no waiting for a "go on" before the body
  }
  if (request.method != "HEAD" && request.method != "GET")
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  std::string range = Cat(request.range_start, "-");
  if (request.range_end > 0)
    Append(range, request.range_end - 1);
  if (request.range_start > 0 || request.range_end > 0)
    curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());
  for (const Header& header : request.headers)
    AddHeader(Cat(header.name, ": ", header.value));
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list_.get());
}

// A missing file would look like a server that must not be trusted.
Result<> Transfer::CheckTrust(const TlsOptions& tls) const {
  if (tls.ca_files.empty()) {
    return Fail(Errc::kInvalid, Cat("no authority is known to verify ", host_,
                                    " with: install the package ca-certificates, ",
                                    "or name a file as `ca` in [registry \"", host_, "\"]"));
  }
  TRY_CTX(host_, tls::TrustedCertificates(tls.ca_files).Check());
  return {};
}

Result<> Transfer::Begin(const CurlRequest& request) {
  Origin origin = TRY(OriginOf(request.url));
  host_ = origin.authority();
  easy_.reset(curl_easy_init());
  if (easy_ == nullptr)
    return Fail(Errc::kNoSpace, "out of memory for a network transfer");
  SetCommon(request.url);
  SetProxy(easy_.get(), origin);
  if (origin.scheme == "https") {
    if (request.tls.verify)
      TRY(CheckTrust(request.tls));
    SetTls(request.tls);
  }
  SetRequest(request);
  if (curl_multi_add_handle(multi_, easy_.get()) != CURLM_OK)
    return Fail(Errc::kInternal, "cannot start a network transfer");
  added_ = true;
  TRY(Advance(Until::kHead));
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  status_ = static_cast<int>(status);
  curl_off_t retry_after = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RETRY_AFTER, &retry_after);
  retry_after_ = std::chrono::seconds(std::max<curl_off_t>(retry_after, 0));
  return {};
}

Error Transfer::Failure(CURLcode code) const {
  long proxy = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_USED_PROXY, &proxy);
  CurlFailure failure{code, host_, detail_.data(), 0, proxy != 0, verify_flags_, names_};
  curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &failure.os_errno);
  return MakeCurlError(failure);
}

// One round of work; waits at most half a second.
Result<> Transfer::Step() {
  int running = 0;
  if (curl_multi_perform(multi_, &running) != CURLM_OK)
    return Fail(Errc::kInternal, "network transfer failed");
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE || message->easy_handle != easy_.get())
      continue;
    done_ = true;
    result_ = message->data.result;
  }
  bool idle = !done_ && buffer_.empty() && !paused_;
  if (idle)
    curl_multi_poll(multi_, nullptr, 0, kPollMs, nullptr);
  return {};
}

curl_off_t Transfer::Sent() const {
  curl_off_t sent = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_SIZE_UPLOAD_T, &sent);
  return sent;
}

Result<> Transfer::Advance(Until until) {
  auto patience = until == Until::kHead ? options_.connect_timeout + options_.stall_timeout
                                        : options_.stall_timeout;
  auto waiting_since = Uptime();
  curl_off_t sent = Sent();
  while (!done_ && (until == Until::kHead ? !head_done_ : buffer_.empty())) {
    if (options_.cancelled != nullptr && options_.cancelled->load()) {
      return Fail(Errc::kCancelled, Cat("the transfer from ", host_, " was cancelled"));
    }
    TRY(Step());
    if (Sent() != sent) {
      sent = Sent();
      waiting_since = Uptime();
    }
    if (Uptime() - waiting_since > patience) {
      return Fail(Errc::kTimeout, Cat(host_, " has sent nothing for ", patience.count(),
                                      " seconds; check the network, or try again later"));
    }
  }
  // What arrived before the failure is handed out first.
  bool nothing = until == Until::kHead ? !head_done_ : buffer_.empty();
  if (done_ && result_ != CURLE_OK && nothing)
    return std::unexpected(Failure(result_));
  return {};
}

Result<size_t> Transfer::Read(std::span<std::byte> out) {
  if (read_at_ == buffer_.size()) {
    buffer_.clear();
    read_at_ = 0;
    if (paused_) {
      paused_ = false;
      curl_easy_pause(easy_.get(), CURLPAUSE_CONT);
    }
    TRY(Advance(Until::kBody));
  }
  size_t count = std::min(out.size(), buffer_.size() - read_at_);
  std::copy_n(std::as_bytes(std::span(buffer_)).begin() + static_cast<ptrdiff_t>(read_at_), count,
              out.begin());
  read_at_ += count;
  return count;
}

class Session final : public CurlSession {
 public:
  explicit Session(SessionOptions options)
      : options_(std::move(options)), multi_(curl_multi_init()) {
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, kIdleConnections);
  }

  Result<std::unique_ptr<CurlTransfer>> Start(const CurlRequest& request) override {
    auto transfer = std::make_unique<Transfer>(multi_.get(), options_);
    TRY(transfer->Begin(request));
    return transfer;
  }

 private:
  SessionOptions options_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
};

}  // namespace

Result<std::string> CurlTransfer::ReadAll(size_t limit) {
  std::string text;
  std::array<std::byte, 16 << 10> piece;
  for (;;) {
    size_t count = TRY(Read(piece));
    if (count == 0)
      return text;
    if (text.size() + count > limit)
      return Fail(Errc::kInvalid, Cat("the answer is larger than ", limit, " bytes"));
    text.append(static_cast<const char*>(static_cast<const void*>(piece.data())), count);
  }
}

std::string CurlTransfer::ReadSome(size_t limit) {
  std::string text;
  std::array<std::byte, 4 << 10> piece;
  while (text.size() < limit) {
    auto count = Read(piece);
    if (!count || *count == 0)
      break;
    text.append(static_cast<const char*>(static_cast<const void*>(piece.data())), *count);
  }
  return text;
}

std::unique_ptr<CurlSession> CurlSession::Create(SessionOptions options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  return std::make_unique<Session>(std::move(options));
}

}  // namespace wherry::http
