// The part of the C++ runtime that deals with exceptions, for a program that has none: whatever
// libstdc++ would throw ends it with one line. Takes the place of libstdc++'s members of the same
// names, and of the unwinder they bring.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

namespace {

[[noreturn]] void Die(const char* what) {
  constexpr char kPrefix[] = "wherry: fatal: ";
  (void)!write(STDERR_FILENO, kPrefix, sizeof kPrefix - 1);
  (void)!write(STDERR_FILENO, what, strlen(what));
  (void)!write(STDERR_FILENO, "\n", 1);
  abort();
}

void* Allocate(size_t size) {
  void* memory = malloc(size == 0 ? 1 : size);
  if (memory == nullptr)
    Die("out of memory");
  return memory;
}

void* AllocateAligned(size_t size, size_t alignment) {
  void* memory = aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
  if (memory == nullptr)
    Die("out of memory");
  return memory;
}

}  // namespace

void* operator new(size_t size) {
  return Allocate(size);
}
void* operator new[](size_t size) {
  return Allocate(size);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return AllocateAligned(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept {
  free(memory);
}
void operator delete[](void* memory) noexcept {
  free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  free(memory);
}

namespace std {

const nothrow_t nothrow{};

[[noreturn]] void terminate() noexcept {
  Die("terminate");
}

// <bits/functexcept.h>
[[noreturn]] void __throw_bad_exception() {
  Die("bad exception");
}
[[noreturn]] void __throw_bad_alloc() {
  Die("out of memory");
}
[[noreturn]] void __throw_bad_array_new_length() {
  Die("array too long");
}
[[noreturn]] void __throw_bad_cast() {
  Die("bad cast");
}
[[noreturn]] void __throw_bad_typeid() {
  Die("bad typeid");
}
[[noreturn]] void __throw_bad_function_call() {
  Die("call of an empty function");
}
[[noreturn]] void __throw_logic_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_domain_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_invalid_argument(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_length_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_out_of_range(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_out_of_range_fmt(const char* format, ...) {
  Die(format);
}
[[noreturn]] void __throw_runtime_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_range_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_overflow_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_underflow_error(const char* what) {
  Die(what);
}
[[noreturn]] void __throw_system_error(int number) {
  Die(strerror(number));
}

}  // namespace std

namespace __gnu_cxx {
void __verbose_terminate_handler() {
  Die("terminate");
}
}  // namespace __gnu_cxx

// The ABI of exceptions, which the objects of libstdc++ refer to.
extern "C" {
// glibc's hint for libstdc++ that it need not count atomically; never true here.
char __libc_single_threaded = 0;

[[noreturn]] void __cxa_pure_virtual() {
  Die("call of a pure virtual function");
}
[[noreturn]] int __gxx_personality_v0(...) {
  Die("exception");
}
[[noreturn]] void* __cxa_begin_catch(void*) {
  Die("exception");
}
[[noreturn]] void __cxa_end_catch() {
  Die("exception");
}
[[noreturn]] void __cxa_rethrow() {
  Die("exception");
}
[[noreturn]] void* __cxa_allocate_exception(size_t) {
  Die("exception");
}
[[noreturn]] void __cxa_free_exception(void*) {
  Die("exception");
}
[[noreturn]] void __cxa_throw(void*, void*, void (*)(void*)) {
  Die("exception");
}
[[noreturn]] void _Unwind_Resume(void*) {
  Die("exception");
}
#ifdef __arm__
[[noreturn]] int __aeabi_unwind_cpp_pr0(...) {
  Die("exception");
}
[[noreturn]] int __aeabi_unwind_cpp_pr1(...) {
  Die("exception");
}
[[noreturn]] void __cxa_end_cleanup() {
  Die("exception");
}
#endif
}
