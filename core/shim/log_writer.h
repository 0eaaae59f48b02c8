// The log of a container in Docker's json-file format, with rotation by size. Part of wherry-shim:
// no heap, one thread.
//
// A full disk costs log lines, never the container: what cannot be written is dropped whole (the
// file never holds part of a line), standard error gets one note, and the log gets one line with
// the number of lost bytes once it can be written again.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/shim/fixed_text.h"

namespace wherry::shim {

class LogWriter {
 public:
  static constexpr size_t kBufferSize = 4096;

  // `dir`: directory of the log (borrowed for good), -1 for no log at all. `max_size` 0: never
  // rotated. `name`: for notes. `buffer`: kBufferSize bytes of the caller's.
  void Open(int dir, uint64_t max_size, uint32_t max_files, const char* name, char* buffer);

  enum class End : uint8_t {
    kLine,  // a newline is appended: the end of a line
    kPart,  // more of the same line follows, or the stream ended without a newline
  };
  // Appends one entry to the buffer. `stream` is "stdout" or "stderr".
  void Write(const char* text, size_t size, End end, const char* stream, const timespec& time);
  // Hands what is buffered to the kernel.
  void Flush();
  // After somebody else moved the file away.
  void Reopen();

 private:
  void OpenFile();
  void Rotate();
  void AddEntry(const char* text, size_t size, End end, const char* stream, const timespec& time);
  void AddNote(const timespec& time);
  void Escape(const unsigned char* text, size_t size);
  size_t EscapeOne(const unsigned char* text, size_t size);
  void AddTime(const timespec& time);
  void Put(const char* text, size_t size);
  void Failed(int error);

  int dir_ = -1;
  int file_ = -1;
  uint64_t max_size_ = 0;
  uint32_t max_files_ = 1;
  const char* name_ = "";

  char* buffer_ = nullptr;
  size_t fill_ = 0;
  size_t whole_ = 0;              // bytes of the buffer up to the end of its last whole entry
  uint64_t size_ = 0;             // of the file
  uint64_t whole_size_ = 0;       // of the file up to the end of its last whole entry
  uint64_t buffered_output_ = 0;  // bytes of output that the buffer stands for
  uint64_t lost_ = 0;             // bytes of output dropped since the log last worked
  bool failing_ = false;
  bool skip_entry_ = false;  // the beginning of the current entry is lost

  int64_t formatted_second_ = -1;
  FixedText<24> formatted_;
};

// Bytes at the end of text[0, size) that begin a UTF-8 sequence without finishing it (0 to 3).
size_t UnfinishedUtf8(const char* text, size_t size);

}  // namespace wherry::shim
