#include "ota/key.h"

#include <fcntl.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <array>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::ota {

namespace {

constexpr size_t kMaxKeyFile = 4096;
constexpr size_t kMaxDer = 256;
constexpr size_t kIdBytes = 8;

// Randomness for mbedTLS: the kernel's, without a generator of our own to be seeded.
int Random(void* /*context*/, unsigned char* out, size_t size) {
  while (size > 0) {
    ssize_t got = getrandom(out, size, 0);
    if (got < 0)
      return MBEDTLS_ERR_ECP_RANDOM_FAILED;
    out += got;
    size -= static_cast<size_t>(got);
  }
  return 0;
}

// RFC 7468.
std::string ToPem(std::string_view label, std::string_view der) {
  constexpr size_t kColumns = 64;
  std::string base64 = Base64Encode(der);
  std::string pem = Cat("-----BEGIN ", label, "-----\n");
  for (size_t at = 0; at < base64.size(); at += kColumns)
    Append(pem, std::string_view(base64).substr(at, kColumns), '\n');
  mbedtls_platform_zeroize(base64.data(), base64.size());
  Append(pem, "-----END ", label, "-----\n");
  return pem;
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

struct PublicKey::Context {
  Context() { mbedtls_pk_init(&pk); }
  ~Context() { mbedtls_pk_free(&pk); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool OnP256() const {
    return mbedtls_pk_get_type(&pk) == MBEDTLS_PK_ECKEY &&
           mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(pk)) == MBEDTLS_ECP_DP_SECP256R1;
  }

  // mbedTLS writes from the end of the buffer. Empty on failure.
  using Writer = int (*)(const mbedtls_pk_context*, unsigned char*, size_t);
  std::string Der(Writer writer) const {
    std::array<unsigned char, kMaxDer> buffer;
    int size = writer(&pk, buffer.data(), buffer.size());
    size_t used = size > 0 ? static_cast<size_t>(size) : 0;
    std::string der(reinterpret_cast<const char*>(buffer.data()) + buffer.size() - used, used);
    mbedtls_platform_zeroize(buffer.data(), buffer.size());
    return der;
  }

  mbedtls_pk_context pk;
};

PublicKey::PublicKey(std::unique_ptr<Context> context)
    : context_(std::move(context)),
      id_(HexEncode(std::span(Digest::Of(context_->Der(mbedtls_pk_write_pubkey_der)).bytes())
                        .first(kIdBytes))) {}

PublicKey::~PublicKey() = default;
PublicKey::PublicKey(PublicKey&&) noexcept = default;
PublicKey& PublicKey::operator=(PublicKey&&) noexcept = default;

Result<PublicKey> PublicKey::Parse(std::string_view pem, std::string_view what) {
  auto context = std::make_unique<Context>();
  std::string text(pem);  // mbedTLS wants the NUL at the end of a PEM
  if (mbedtls_pk_parse_public_key(&context->pk, Bytes(text), text.size() + 1) != 0 ||
      !context->OnP256())
    return Fail(Errc::kInvalid,
                Cat(what, " is no public key on P-256 in PEM (\"BEGIN PUBLIC KEY\")"));
  return PublicKey(std::move(context));
}

Result<PublicKey> PublicKey::Load(const std::string& path) {
  std::string pem = TRY(ReadFile(path, kMaxKeyFile));
  return Parse(pem, path);
}

bool PublicKey::Verifies(std::string_view message, std::string_view signature) const {
  Digest digest = Digest::Of(message);
  return mbedtls_pk_verify(&context_->pk, MBEDTLS_MD_SHA256, digest.bytes().data(),
                           digest.bytes().size(), Bytes(signature), signature.size()) == 0;
}

std::string PublicKey::Pem() const {
  return ToPem("PUBLIC KEY", context_->Der(mbedtls_pk_write_pubkey_der));
}

PrivateKey::PrivateKey(std::unique_ptr<PublicKey::Context> context)
    : context_(std::move(context)) {}
PrivateKey::~PrivateKey() = default;
PrivateKey::PrivateKey(PrivateKey&&) noexcept = default;
PrivateKey& PrivateKey::operator=(PrivateKey&&) noexcept = default;

Result<PrivateKey> PrivateKey::Generate() {
  auto context = std::make_unique<PublicKey::Context>();
  if (mbedtls_pk_setup(&context->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0 ||
      mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(context->pk), Random, nullptr) !=
          0)
    return Fail(Errc::kInternal, "no key could be made");
  return PrivateKey(std::move(context));
}

Result<PrivateKey> PrivateKey::Load(const std::string& path) {
  UniqueFd file = TRY(Open(path, O_RDONLY));
  struct stat status{};
  if (fstat(file.get(), &status) != 0)
    return FailSys("fstat", path);
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return Fail(Errc::kDenied,
                Cat(path, " may be read by others than its owner: chmod 600 ", path));
  std::string pem = TRY(ReadAll(file.get(), kMaxKeyFile, path));
  if (pem.find("ENCRYPTED") != std::string::npos)
    return Fail(Errc::kUnsupported, Cat(path, ": keys with a password are not supported"));
  auto context = std::make_unique<PublicKey::Context>();
  int error =
      mbedtls_pk_parse_key(&context->pk, Bytes(pem), pem.size() + 1, nullptr, 0, Random, nullptr);
  mbedtls_platform_zeroize(pem.data(), pem.size());
  if (error != 0 || !context->OnP256())
    return Fail(Errc::kInvalid, Cat(path, " is no private key on P-256 in PEM"));
  return PrivateKey(std::move(context));
}

Result<std::string> PrivateKey::Sign(std::string_view message) const {
  Digest digest = Digest::Of(message);
  std::array<unsigned char, MBEDTLS_PK_SIGNATURE_MAX_SIZE> signature;
  size_t size = 0;
  if (mbedtls_pk_sign(&context_->pk, MBEDTLS_MD_SHA256, digest.bytes().data(),
                      digest.bytes().size(), signature.data(), signature.size(), &size, Random,
                      nullptr) != 0)
    return Fail(Errc::kInternal, "signing failed");
  return std::string(reinterpret_cast<const char*>(signature.data()), size);
}

Result<PublicKey> PrivateKey::Public() const {
  return PublicKey::Parse(ToPem("PUBLIC KEY", context_->Der(mbedtls_pk_write_pubkey_der)),
                          "the key");
}

std::string PrivateKey::Pem() const {
  std::string der = context_->Der(mbedtls_pk_write_key_der);
  std::string pem = ToPem("EC PRIVATE KEY", der);
  mbedtls_platform_zeroize(der.data(), der.size());
  return pem;
}

}  // namespace wherry::ota
