#include "net/http/curl_transfer.h"

#include <curl/curl.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "net/http/curl_error.h"

namespace wherry::http {

namespace {

constexpr size_t kBufferLimit = 64 << 10;  // more than this is left in the socket
constexpr long kCurlBuffer = 32 << 10;
constexpr int kPollMs = 500;
constexpr long kMaxRedirects = 5;
constexpr size_t kMaxHeaders = 200;

constexpr std::string_view kCaFiles[] = {
    "/etc/ssl/certs/ca-certificates.crt",  // Debian, Raspberry Pi OS, Alpine, Yocto
    "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora
    "/etc/ssl/ca-bundle.pem",              // openSUSE
    "/etc/ssl/cert.pem",
};

void InitOnce() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

std::string HostOf(std::string_view url) {
  size_t start = url.find("://");
  std::string_view rest = start == std::string_view::npos ? url : url.substr(start + 3);
  return std::string(rest.substr(0, rest.find('/')));
}

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class Transfer final : public CurlTransfer {
 public:
  Transfer(CURLM* multi, const SessionOptions& options) : multi_(multi), options_(options) {}
  ~Transfer() override {
    if (added_) curl_multi_remove_handle(multi_, easy_.get());
  }

  Result<> Begin(const CurlRequest& request);
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static CURLcode OnTlsConfig(CURL* easy, void* config, void* self);
  static int OnVerify(void* self, mbedtls_x509_crt* certificate, int depth, uint32_t* flags);
  void SetTls(const TlsOptions& tls);
  // Drives the transfer until there is something to read or it is over.
  Result<> Advance(bool until_head);
  Result<> Step();
  Error Failure(CURLcode code) const;

  CURLM* multi_;
  const SessionOptions& options_;
  std::unique_ptr<CURL, EasyDeleter> easy_;
  std::unique_ptr<curl_slist, ListDeleter> list_;
  std::array<char, CURL_ERROR_SIZE> detail_{};
  std::string host_;
  std::string body_;
  bool added_ = false;
  bool head_done_ = false;
  bool done_ = false;
  bool paused_ = false;
  CURLcode result_ = CURLE_OK;
  uint32_t verify_flags_ = 0;
  std::string buffer_;
  size_t read_at_ = 0;
};

size_t Transfer::OnHeader(char* data, size_t size, size_t count, void* self_pointer) {
  auto* self = static_cast<Transfer*>(self_pointer);
  std::string_view line = Trim(std::string_view(data, size * count));
  if (line.starts_with("HTTP/")) {
    self->headers_.clear();  // a redirect or 100 came before
  } else if (auto split = SplitFirst(line, ':'); split && self->headers_.size() < kMaxHeaders) {
    self->headers_.push_back({std::string(split->head), std::string(Trim(split->tail))});
  } else if (line.empty()) {
    long status = 0;
    curl_easy_getinfo(self->easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    bool redirect = status >= 300 && status < 400 && status != 304 && !self->header("Location").empty();
    self->head_done_ = status >= 200 && !redirect;
  }
  return size * count;
}

size_t Transfer::OnBody(char* data, size_t size, size_t count, void* self_pointer) {
  auto* self = static_cast<Transfer*>(self_pointer);
  if (!self->head_done_) return size * count;  // the body of a redirect
  if (self->buffer_.size() >= kBufferLimit) {
    self->paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  self->buffer_.append(data, size * count);
  return size * count;
}

// Remembers why a certificate was refused; whether it is refused stays mbedTLS's decision.
int Transfer::OnVerify(void* self, mbedtls_x509_crt*, int, uint32_t* flags) {
  static_cast<Transfer*>(self)->verify_flags_ |= *flags;
  return 0;
}

CURLcode Transfer::OnTlsConfig(CURL*, void* config, void* self) {
  mbedtls_ssl_conf_verify(static_cast<mbedtls_ssl_config*>(config), OnVerify, self);
  return CURLE_OK;
}

void Transfer::SetTls(const TlsOptions& tls) {
  CURL* easy = easy_.get();
  std::string ca = tls.ca_file.empty() ? SystemCaFile() : tls.ca_file;
  if (!ca.empty() && tls.verify) curl_easy_setopt(easy, CURLOPT_CAINFO, ca.c_str());
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  if (tls.verify) {
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Transfer::OnTlsConfig);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
  }
  if (!tls.cert_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.cert_file.c_str());
  if (!tls.key_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.key_file.c_str());
}

Result<> Transfer::Begin(const CurlRequest& request) {
  easy_.reset(curl_easy_init());
  if (easy_ == nullptr) return Fail(Errc::kNoSpace, "out of memory for a network transfer");
  CURL* easy = easy_.get();
  host_ = HostOf(request.url);
  body_ = request.body;
  bool https = request.url.starts_with("https://");
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail_.data());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kCurlBuffer);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  SetTls(request.tls);
  if (request.method == "HEAD") curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (request.method == "POST") {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body_.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(body_.size()));
  }
  if (request.range_start > 0) curl_easy_setopt(easy, CURLOPT_RANGE, Cat(request.range_start, "-").c_str());
  for (const Header& header : request.headers) {
    list_.reset(curl_slist_append(list_.release(), Cat(header.name, ": ", header.value).c_str()));
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list_.get());
  if (curl_multi_add_handle(multi_, easy) != CURLM_OK) return Fail(Errc::kInternal, "cannot start a network transfer");
  added_ = true;
  TRY(Advance(true));
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  status_ = static_cast<int>(status);
  return {};
}

Error Transfer::Failure(CURLcode code) const {
  CurlFailure failure{code, host_, detail_.data(), 0, verify_flags_};
  curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &failure.os_errno);
  return MakeCurlError(failure);
}

// One round of work; waits at most half a second.
Result<> Transfer::Step() {
  int running = 0;
  if (curl_multi_perform(multi_, &running) != CURLM_OK) return Fail(Errc::kInternal, "network transfer failed");
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE || message->easy_handle != easy_.get()) continue;
    done_ = true;
    result_ = message->data.result;
  }
  bool idle = !done_ && read_at_ == buffer_.size() && !paused_;
  if (idle) curl_multi_poll(multi_, nullptr, 0, kPollMs, nullptr);
  return {};
}

Result<> Transfer::Advance(bool until_head) {
  auto waiting_since = Uptime();
  size_t before = buffer_.size();
  while (!done_ && (until_head ? !head_done_ : buffer_.empty())) {
    if (options_.cancelled != nullptr && options_.cancelled->load()) {
      return Fail(Errc::kCancelled, Cat("the transfer from ", host_, " was cancelled"));
    }
    TRY(Step());
    if (buffer_.size() != before) waiting_since = Uptime();
    before = buffer_.size();
    if (Uptime() - waiting_since > options_.stall_timeout) {
      return Fail(Errc::kTimeout, Cat(host_, " has sent nothing for ", options_.stall_timeout.count(), " seconds"));
    }
  }
  if (done_ && result_ != CURLE_OK && (until_head || buffer_.empty())) return std::unexpected(Failure(result_));
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
    TRY(Advance(false));
  }
  size_t count = std::min(out.size(), buffer_.size() - read_at_);
  std::copy_n(std::as_bytes(std::span(buffer_)).begin() + static_cast<ptrdiff_t>(read_at_), count, out.begin());
  read_at_ += count;
  return count;
}

class Session final : public CurlSession {
 public:
  explicit Session(SessionOptions options) : options_(std::move(options)), multi_(curl_multi_init()) {}

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

std::string SystemCaFile() {
  if (const char* file = secure_getenv("SSL_CERT_FILE"); file != nullptr && file[0] != '\0') return file;
  for (std::string_view file : kCaFiles) {
    if (PathExists(std::string(file))) return std::string(file);
  }
  return {};
}

Result<std::string> CurlTransfer::ReadAll(size_t limit) {
  std::string text;
  std::array<std::byte, 16 << 10> piece;
  for (;;) {
    size_t count = TRY(Read(piece));
    if (count == 0) return text;
    if (text.size() + count > limit) return Fail(Errc::kInvalid, Cat("the answer is larger than ", limit, " bytes"));
    text.append(static_cast<const char*>(static_cast<const void*>(piece.data())), count);
  }
}

std::unique_ptr<CurlSession> CurlSession::Create(SessionOptions options) {
  InitOnce();
  return std::make_unique<Session>(std::move(options));
}

}  // namespace wherry::http
