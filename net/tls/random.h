// Random numbers in the form mbedTLS asks for them.
#pragma once

#include <mbedtls/entropy.h>
#include <psa/crypto.h>

namespace wherry::tls {

// REQUIRES: psa_crypto_init.
inline int Random(void*, unsigned char* bytes, size_t size) {
  return psa_generate_random(bytes, size) == PSA_SUCCESS ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
}

}  // namespace wherry::tls
