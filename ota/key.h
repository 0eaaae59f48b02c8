// Keys of releases and images: ECDSA on P-256 with SHA-256, signatures in DER (RFC 5480, RFC 3279
// section 2.2.3). Thread-safe: constant after construction.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::ota {

class PublicKey {
 public:
  // PEM "PUBLIC KEY" (SubjectPublicKeyInfo). kInvalid naming `what` for anything but a point on
  // P-256.
  static Result<PublicKey> Parse(std::string_view pem, std::string_view what);
  static Result<PublicKey> Load(const std::string& path);
  ~PublicKey();
  PublicKey(PublicKey&&) noexcept;
  PublicKey& operator=(PublicKey&&) noexcept;

  // Whether `signature` (DER) is this key's for `message`.
  bool Verifies(std::string_view message, std::string_view signature) const;

  // The first 16 hex characters of the SHA-256 of the key in DER: a name, not a proof.
  const std::string& id() const { return id_; }
  std::string Pem() const;

 private:
  friend class PrivateKey;
  struct Context;
  explicit PublicKey(std::unique_ptr<Context> context);

  std::unique_ptr<Context> context_;
  std::string id_;
};

class PrivateKey {
 public:
  static Result<PrivateKey> Generate();
  // PEM "EC PRIVATE KEY" or "PRIVATE KEY", not encrypted. kDenied for a file that others may read.
  static Result<PrivateKey> Load(const std::string& path);
  ~PrivateKey();
  PrivateKey(PrivateKey&&) noexcept;
  PrivateKey& operator=(PrivateKey&&) noexcept;

  Result<std::string> Sign(std::string_view message) const;
  Result<PublicKey> Public() const;
  std::string Pem() const;

 private:
  explicit PrivateKey(std::unique_ptr<PublicKey::Context> context);

  std::unique_ptr<PublicKey::Context> context_;
};

}  // namespace wherry::ota
