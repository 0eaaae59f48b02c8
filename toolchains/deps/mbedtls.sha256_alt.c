/* SHA-256 for mbedTLS (MBEDTLS_SHA256_ALT): FIPS 180-4, section 6.2, around the assembly of ring.
 * mbedTLS's own takes up to twice the time on processors without instructions for it, and hashing
 * is most of the work of a pull. */
#include <string.h>

#include "mbedtls/error.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

typedef void block_function(uint32_t state[8], const void* data, size_t blocks);

block_function sha256_block_data_order_nohw;
block_function sha256_block_data_order_hw;
block_function sha256_block_data_order_neon;
block_function sha256_block_data_order_ssse3;
block_function sha256_block_data_order_avx;

/* The fastest one for this processor. */
static block_function* choose(void) {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29) && __builtin_cpu_supports("sse4.1"))
    return sha256_block_data_order_hw;
  if (__builtin_cpu_supports("avx"))
    return sha256_block_data_order_avx;
  if (__builtin_cpu_supports("ssse3"))
    return sha256_block_data_order_ssse3;
#elif defined(__aarch64__)
  const unsigned long sha2 = 1ul << 6; /* HWCAP_SHA2 */
  if (getauxval(AT_HWCAP) & sha2)
    return sha256_block_data_order_hw;
#elif defined(__arm__)
  const unsigned long neon = 1ul << 12; /* HWCAP_NEON */
  if (getauxval(AT_HWCAP) & neon)
    return sha256_block_data_order_neon;
#endif
  return sha256_block_data_order_nohw;
}

static void process(uint32_t state[8], const void* data, size_t blocks) {
  static block_function* chosen; /* all threads find the same */
  block_function* function = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
  if (function == NULL) {
    function = choose();
    __atomic_store_n(&chosen, function, __ATOMIC_RELAXED);
  }
  function(state, data, blocks);
}

void mbedtls_sha256_init(mbedtls_sha256_context* ctx) {
  memset(ctx, 0, sizeof(*ctx));
}

void mbedtls_sha256_free(mbedtls_sha256_context* ctx) {
  if (ctx != NULL)
    mbedtls_platform_zeroize(ctx, sizeof(*ctx));
}

void mbedtls_sha256_clone(mbedtls_sha256_context* dst, const mbedtls_sha256_context* src) {
  *dst = *src;
}

int mbedtls_sha256_starts(mbedtls_sha256_context* ctx, int is224) {
  static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  if (is224)
    return MBEDTLS_ERR_SHA256_BAD_INPUT_DATA;
  memcpy(ctx->state, first, sizeof(first));
  ctx->bytes = 0;
  return 0;
}

int mbedtls_internal_sha256_process(mbedtls_sha256_context* ctx, const unsigned char data[64]) {
  process(ctx->state, data, 1);
  return 0;
}

int mbedtls_sha256_update(mbedtls_sha256_context* ctx, const unsigned char* input, size_t length) {
  size_t held = ctx->bytes % 64;
  ctx->bytes += length;
  if (held > 0) {
    size_t fill = 64 - held < length ? 64 - held : length;
    memcpy(ctx->block + held, input, fill);
    input += fill;
    length -= fill;
    if (held + fill < 64)
      return 0;
    process(ctx->state, ctx->block, 1);
  }
  if (length >= 64)
    process(ctx->state, input, length / 64);
  if (length % 64 > 0)
    memcpy(ctx->block, input + length / 64 * 64, length % 64);
  return 0;
}

int mbedtls_sha256_finish(mbedtls_sha256_context* ctx, unsigned char* output) {
  size_t held = ctx->bytes % 64;
  unsigned char end[128] = {0};
  size_t blocks = held < 56 ? 1 : 2;
  memcpy(end, ctx->block, held);
  end[held] = 0x80;
  for (int i = 0; i < 8; i++)
    end[blocks * 64 - 1 - i] = (unsigned char)((ctx->bytes << 3) >> (8 * i));
  process(ctx->state, end, blocks);
  for (int i = 0; i < 32; i++)
    output[i] = (unsigned char)(ctx->state[i / 4] >> (24 - 8 * (i % 4)));
  return 0;
}
