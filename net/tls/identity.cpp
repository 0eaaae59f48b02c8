#include "net/tls/identity.h"

#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <sys/stat.h>

#include <vector>

#include "core/base/file.h"
#include "core/base/text.h"
#include "net/tls/random.h"

namespace wherry::tls {

namespace {

constexpr size_t kMaxCertificateFile = 256 << 10;
constexpr off_t kMaxKeyFile = 64 << 10;

// Bytes that are wiped when they go.
class Secret {
 public:
  explicit Secret(size_t size) : bytes_(size) {}
  ~Secret() { mbedtls_platform_zeroize(bytes_.data(), bytes_.size()); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  unsigned char* data() { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }

 private:
  std::vector<unsigned char> bytes_;
};

Result<UniqueFd> OpenKey(const std::string& file, size_t& size) {
  UniqueFd fd = TRY_CTX("the private key cannot be used", Open(file, O_RDONLY));
  struct stat info;
  if (fstat(fd.get(), &info) != 0)
    return FailSys("fstat", file);
  if (!S_ISREG(info.st_mode) || info.st_size > kMaxKeyFile)
    return Fail(Errc::kInvalid, Cat("the private key ", file, " is not a file of a key"));
  if ((info.st_mode & S_IRWXO) != 0) {
    return Fail(Errc::kDenied,
                Cat("the private key ", file, " is open to all users; run: chmod o= ", file));
  }
  size = static_cast<size_t>(info.st_size);
  return fd;
}

Result<> ReadKey(const std::string& file, mbedtls_pk_context& key) {
  size_t size = 0;
  UniqueFd fd = TRY(OpenKey(file, size));
  Secret text(size + 1);  // the parser of PEM wants a NUL at the end
  size_t have = 0;
  while (have < size) {
    ssize_t count = read(fd.get(), text.data() + have, size - have);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return FailSys("read", file);
    if (count == 0)
      break;
    have += static_cast<size_t>(count);
  }
  int status = mbedtls_pk_parse_key(&key, text.data(), have + 1, nullptr, 0, &Random, nullptr);
  if (status == 0)
    return {};
  bool locked =
      status == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || status == MBEDTLS_ERR_PK_PASSWORD_MISMATCH;
  return Fail(Errc::kInvalid, Cat("the private key ", file,
                                  locked ? " has a pass phrase; give one without"
                                         : " is not a private key in PEM form (RSA or ECDSA)"));
}

}  // namespace

Identity::Identity() {
  mbedtls_x509_crt_init(&certificate_);
  mbedtls_pk_init(&key_);
}

Identity::~Identity() {
  mbedtls_x509_crt_free(&certificate_);
  mbedtls_pk_free(&key_);  // wipes
}

Result<std::unique_ptr<Identity>> Identity::Load(const std::string& certificate_file,
                                                 const std::string& key_file) {
  std::unique_ptr<Identity> identity(new Identity());
  std::string pem =
      TRY_CTX("the certificate cannot be used", ReadFile(certificate_file, kMaxCertificateFile));
  const void* text = pem.c_str();
  if (mbedtls_x509_crt_parse(&identity->certificate_, static_cast<const unsigned char*>(text),
                             pem.size() + 1) != 0) {
    return Fail(Errc::kInvalid,
                Cat("the certificate ", certificate_file, " is not a certificate in PEM form"));
  }
  TRY(ReadKey(key_file, identity->key_));
  if (mbedtls_pk_check_pair(&identity->certificate_.pk, &identity->key_, &Random, nullptr) != 0) {
    return Fail(Errc::kInvalid, Cat("the private key ", key_file,
                                    " is not the one of the certificate ", certificate_file));
  }
  return identity;
}

}  // namespace wherry::tls
