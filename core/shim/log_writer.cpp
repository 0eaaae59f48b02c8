#include "core/shim/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/shim/protocol.h"

namespace wherry::shim {

namespace {

constexpr char kHex[] = "0123456789abcdef";

// Length of the well-formed UTF-8 sequence at text[0], or 0: RFC 3629, as Go's decoder has it.
size_t SequenceLength(const unsigned char* text, size_t size) {
  unsigned char first = text[0];
  size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || length > size)
    return 0;
  unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (text[1] < low || text[1] > high)
    return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((text[i] & 0xc0) != 0x80)
      return 0;
  }
  return length;
}

bool IsPlain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

// "log", "log.1", ...
const char* RotatedName(FixedText<32>& name, uint32_t number) {
  name.Add(kLogName);
  if (number > 0)
    name.Add(".").AddNumber(number);
  return name.c_str();
}

// The errors that a log file meets, without the table of all.
const char* ErrorText(int error) {
  switch (error) {
    case ENOSPC:
      return "no space left on device";
    case EDQUOT:
      return "disk quota exceeded";
    case EROFS:
      return "read-only file system";
    case EFBIG:
      return "file too large";
    case EIO:
      return "input/output error";
    default:
      return nullptr;
  }
}

}  // namespace

size_t UnfinishedUtf8(const char* text, size_t size) {
  for (size_t back = 1; back <= 3 && back <= size; ++back) {
    auto c = static_cast<unsigned char>(text[size - back]);
    if ((c & 0xc0) == 0x80)
      continue;
    size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

void LogWriter::Open(int dir, uint64_t max_size, uint32_t max_files, const char* name,
                     char* buffer) {
  buffer_ = buffer;
  dir_ = dir;
  max_size_ = max_size;
  max_files_ = max_files < 1 ? 1 : max_files;
  name_ = name;
  OpenFile();
}

void LogWriter::OpenFile() {
  if (dir_ < 0)
    return;
  file_ = openat(dir_, kLogName, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  struct stat info{};
  if (file_ < 0 || fstat(file_, &info) != 0) {
    Failed(errno);
    return;
  }
  size_ = static_cast<uint64_t>(info.st_size);
  whole_size_ = size_;
}

void LogWriter::Reopen() {
  Flush();
  if (file_ >= 0)
    close(file_);
  OpenFile();
}

void LogWriter::Rotate() {
  Flush();
  if (file_ < 0)
    return;
  if (max_files_ == 1) {
    if (ftruncate(file_, 0) != 0)
      return;
    size_ = whole_size_ = 0;
    return;
  }
  for (uint32_t number = max_files_ - 1; number > 0; --number) {
    FixedText<32> from;
    FixedText<32> to;
    // Absent until there are that many.
    renameat(dir_, RotatedName(from, number - 1), dir_, RotatedName(to, number));
  }
  close(file_);
  OpenFile();
}

void LogWriter::Write(const char* text, size_t size, End end, const char* stream,
                      const timespec& time) {
  if (dir_ < 0)
    return;
  if (file_ < 0)
    OpenFile();
  if (max_size_ > 0 && size_ + fill_ >= max_size_)
    Rotate();
  skip_entry_ = false;
  if (failing_ && fill_ == 0)
    AddNote(time);
  AddEntry(text, size, end, stream, time);
}

// {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
void LogWriter::AddEntry(const char* text, size_t size, End end, const char* stream,
                         const timespec& time) {
  buffered_output_ += size;
  Put("{\"log\":\"", 8);
  Escape(reinterpret_cast<const unsigned char*>(text), size);
  if (end == End::kLine)
    Put("\\n", 2);
  Put("\",\"stream\":\"", 12);
  Put(stream, strlen(stream));
  Put("\",\"time\":\"", 10);
  AddTime(time);
  Put("\"}\n", 3);
  whole_ = fill_;
  if (skip_entry_)
    buffered_output_ = 0;  // counted as lost already
}

void LogWriter::AddNote(const timespec& time) {
  uint64_t before = buffered_output_;
  FixedText<128> note;
  note.Add("wherry: ")
      .AddNumber(lost_)
      .Add(" bytes of output are missing here: the log could not be written");
  AddEntry(note.data(), note.size(), End::kLine, "stderr", time);
  buffered_output_ = before;
}

void LogWriter::Escape(const unsigned char* text, size_t size) {
  size_t at = 0;
  while (at < size) {
    size_t plain = at;
    while (plain < size && IsPlain(text[plain]))
      ++plain;
    if (plain > at)
      Put(reinterpret_cast<const char*>(text + at), plain - at);
    at = plain;
    if (at < size)
      at += EscapeOne(text + at, size - at);
  }
}

// One character that may not stand as it is; the same escapes as Docker writes. Gives its length.
size_t LogWriter::EscapeOne(const unsigned char* text, size_t size) {
  unsigned char c = text[0];
  if (c >= 0x80) {
    size_t length = SequenceLength(text, size);
    if (length == 0) {
      Put("\\ufffd", 6);
      return 1;
    }
    if (length == 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] & 0xfe) == 0xa8) {
      Put(text[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);  // line separators of JavaScript
    } else {
      Put(reinterpret_cast<const char*>(text), length);
    }
    return length;
  }
  char escape[6] = {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
  size_t length = 6;
  if (c == '"' || c == '\\' || c == '\n' || c == '\r') {
    escape[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : static_cast<char>(c);
    length = 2;
  }
  Put(escape, length);
  return 1;
}

void LogWriter::AddTime(const timespec& time) {
  auto second = static_cast<int64_t>(time.tv_sec);
  if (second != formatted_second_) {
    formatted_second_ = second;
    // Days to a date of the Gregorian calendar, counted in years that begin in March.
    auto since_midnight = static_cast<uint32_t>(second % 86400);
    auto days = static_cast<uint32_t>(second / 86400) + 719468;
    uint32_t era = days / 146097;
    uint32_t day_of_era = days % 146097;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month_index = (5 * day_of_year + 2) / 153;
    uint32_t day = day_of_year - (153 * month_index + 2) / 5 + 1;
    uint32_t month = month_index < 10 ? month_index + 3 : month_index - 9;
    uint32_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    formatted_.Clear();
    formatted_.AddPadded(year, 4).Add("-").AddPadded(month, 2).Add("-").AddPadded(day, 2).Add("T");
    formatted_.AddPadded(since_midnight / 3600, 2)
        .Add(":")
        .AddPadded(since_midnight / 60 % 60, 2)
        .Add(":");
    formatted_.AddPadded(since_midnight % 60, 2).Add(".");
  }
  Put(formatted_.data(), formatted_.size());
  FixedText<10> fraction;
  fraction.AddPadded(static_cast<uint32_t>(time.tv_nsec), 9).Add("Z");
  Put(fraction.data(), fraction.size());
}

void LogWriter::Put(const char* text, size_t size) {
  while (size > 0 && !skip_entry_) {
    if (fill_ == kBufferSize) {
      Flush();
      if (skip_entry_)
        return;
    }
    size_t room = kBufferSize - fill_;
    size_t taken = size < room ? size : room;
    memcpy(buffer_ + fill_, text, taken);
    fill_ += taken;
    text += taken;
    size -= taken;
  }
}

void LogWriter::Flush() {
  size_t written = 0;
  while (written < fill_) {
    ssize_t count = file_ < 0 ? -1 : write(file_, buffer_ + written, fill_ - written);
    if (count <= 0) {
      if (count < 0 && file_ >= 0 && errno == EINTR)
        continue;
      Failed(file_ < 0 ? ENOENT : count < 0 ? errno : ENOSPC);
      return;
    }
    written += static_cast<size_t>(count);
  }
  if (fill_ == 0)
    return;
  // Only up to the last whole entry: the rest may have to be taken back.
  if (whole_ > 0)
    whole_size_ = size_ + whole_;
  size_ += fill_;
  fill_ = whole_ = 0;
  buffered_output_ = 0;
  lost_ = 0;
  failing_ = false;
}

// Takes back the entry whose end did not fit and drops what is buffered.
void LogWriter::Failed(int error) {
  if (file_ >= 0 && ftruncate(file_, static_cast<off_t>(whole_size_)) == 0)
    size_ = whole_size_;
  lost_ += buffered_output_;
  buffered_output_ = 0;
  fill_ = whole_ = 0;
  skip_entry_ = true;
  if (failing_)
    return;
  failing_ = true;
  FixedText<256> note;
  note.Add("wherry-shim ").Add(name_).Add(": the log cannot be written (");
  if (const char* text = ErrorText(error)) {
    note.Add(text);
  } else {
    note.Add("errno ").AddNumber(static_cast<uint64_t>(error));
  }
  note.Add("); its lines are dropped until it can\n");
  (void)!write(2, note.data(), note.size());
}

}  // namespace wherry::shim
