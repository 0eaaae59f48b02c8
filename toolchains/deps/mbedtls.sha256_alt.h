/* The context of mbedTLS's SHA-256 (MBEDTLS_SHA256_ALT), hashed by the assembly of ring. */
#ifndef WHERRY_SHA256_ALT_H
#define WHERRY_SHA256_ALT_H

#include <stdint.h>

typedef struct mbedtls_sha256_context {
  uint32_t state[8];
  uint64_t bytes;          /* seen so far */
  unsigned char block[64]; /* the last bytes % 64 */
} mbedtls_sha256_context;

#endif
