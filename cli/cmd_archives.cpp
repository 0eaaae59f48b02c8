// save, load, export, import.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <span>

#include "cli/commands.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/fd.h"
#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

constexpr size_t kPiece = 64 << 10;
constexpr uint32_t kFileMode = 0644;
constexpr std::chrono::milliseconds kPeriod{100};
constexpr std::string_view kEraseLine = "\r\x1b[2K";

constexpr Option kSave[] = {
    {"output", 'o', OptionKind::kValue, "FILE", "Write to a file, not to standard output"},
};
constexpr Option kLoad[] = {
    {"input", 'i', OptionKind::kValue, "FILE", "Read from a file, not from standard input"},
    {"quiet", 'q', OptionKind::kFlag, "", "No progress"},
};
constexpr Option kImport[] = {
    {"change", 'c', OptionKind::kList, "INSTRUCTION", "Instruction of a Dockerfile for the image"},
    {"message", 'm', OptionKind::kValue, "TEXT", "Comment in the image's history"},
};

// Tells on a terminal how much has been read.
class FdSource final : public ByteSource {
 public:
  enum class Tell : uint8_t { kNo, kYes };
  FdSource(int fd, std::string name, Tell tell)
      : fd_(fd), name_(std::move(name)), tells_(tell == Tell::kYes && IsTerminal(STDERR_FILENO)) {}
  ~FdSource() override {
    if (told_ != std::chrono::nanoseconds{})
      (void)WriteAll(STDERR_FILENO, kEraseLine, "progress");
  }
  FdSource(const FdSource&) = delete;
  FdSource& operator=(const FdSource&) = delete;

  Result<size_t> Read(std::span<std::byte> out) override {
    ssize_t count;
    do {
      count = read(fd_, out.data(), out.size());
    } while (count < 0 && errno == EINTR);
    if (count < 0)
      return FailSys("read", name_);
    total_ += static_cast<uint64_t>(count);
    auto now = Uptime();
    if (tells_ && now - told_ >= kPeriod) {
      told_ = now;
      (void)WriteAll(STDERR_FILENO, Cat(kEraseLine, "Loading ", FormatSize(total_)), "progress");
    }
    return static_cast<size_t>(count);
  }

 private:
  int fd_;
  std::string name_;
  bool tells_;
  uint64_t total_ = 0;
  std::chrono::nanoseconds told_{};
};

Result<> Copy(ByteSource& source, int fd, std::string_view name) {
  std::string piece(kPiece, '\0');
  for (;;) {
    size_t count = TRY(source.Read(std::as_writable_bytes(std::span(piece))));
    if (count == 0)
      return {};
    TRY(WriteAll(fd, std::string_view(piece).substr(0, count), name));
  }
}

Result<std::unique_ptr<ByteSource>> OpenSave(const Invocation& call) {
  Query query;
  for (const std::string& name : call.words())
    query.emplace_back("names", name);
  return call.client.Open("GET", Target("/images/get", query));
}

bool IsSpecialFile(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

using OpenArchive = Result<std::unique_ptr<ByteSource>> (*)(const Invocation& call);

// The file appears when it is complete; what is no file (a pipe, a device) is written to.
Result<> SaveToFile(const Invocation& call, const std::string& path, OpenArchive open) {
  if (IsSpecialFile(path)) {
    UniqueFd fd = TRY(Open(path, O_WRONLY));
    auto archive = TRY(open(call));
    return Copy(*archive, fd.get(), path);
  }
  std::string part = Cat(path, ".part", getpid());
  auto opened = Open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kFileMode);
  if (!opened)
    return std::unexpected(std::move(opened).error().Wrap(Cat("cannot write ", path)));
  ScopeExit remove([&part] { unlink(part.c_str()); });
  auto archive = TRY(open(call));
  TRY(Copy(*archive, opened->get(), path));
  if (rename(part.c_str(), path.c_str()) != 0)
    return FailSys("rename", path);
  remove.Disarm();
  return {};
}

// To the file of --output, else to standard output.
Result<int> WriteArchive(const Invocation& call, OpenArchive open) {
  std::string output = call.arguments.Value("output");
  if (!output.empty()) {
    TRY(SaveToFile(call, output, open));
    return 0;
  }
  if (IsTerminal(STDOUT_FILENO)) {
    return Fail(Errc::kInvalid,
                "an archive is not written to a terminal; name a file with -o or redirect");
  }
  auto archive = TRY(open(call));
  TRY(Copy(*archive, STDOUT_FILENO, "standard output"));
  return 0;
}

Result<std::unique_ptr<ByteSource>> OpenExport(const Invocation& call) {
  return call.client.Open("GET", Target(Cat("/containers/", Segment(call.word(0)), "/export")));
}

}  // namespace

std::span<const Option> ExportOptions() {
  return kSave;
}
std::span<const Option> ImportOptions() {
  return kImport;
}
std::span<const Option> SaveOptions() {
  return kSave;
}
std::span<const Option> LoadOptions() {
  return kLoad;
}

Result<int> SaveCommand(const Invocation& call) {
  return WriteArchive(call, OpenSave);
}

Result<int> ExportCommand(const Invocation& call) {
  return WriteArchive(call, OpenExport);
}

Result<int> ImportCommand(const Invocation& call) {
  const std::string& input = call.word(0);
  Query query{{"fromSrc", "-"}, {"message", call.arguments.Value("message")}};
  for (const std::string& change : call.arguments.List("change"))
    query.emplace_back("changes", change);
  if (call.words().size() > 1) {
    auto name = TRY(registry::Reference::Parse(call.word(1)));
    query.emplace_back("repo", Cat(name.registry, "/", name.repository));
    query.emplace_back("tag", name.tag);
  }
  UniqueFd file;
  if (input != "-")
    file = TRY(Open(input, O_RDONLY));
  FdSource source(file ? file.get() : STDIN_FILENO, input, FdSource::Tell::kNo);
  auto answer = TRY(call.client.Upload(Target("/images/create", query), source,
                                       {{"Content-Type", "application/x-tar"}}));
  TRY(ForEachLine(*answer, [](std::string_view line) -> Result<> {
    auto message = TRY(JsonDocument::Parse(line, "message of the daemon"));
    std::string_view error = message["error"].str();
    if (!error.empty())
      return Fail(Errc::kUnavailable, std::string(error));
    return Print(Cat(message["status"].str(), "\n"));
  }));
  return 0;
}

Result<int> LoadCommand(const Invocation& call) {
  std::string input = call.arguments.Value("input");
  bool quiet = call.arguments.Flag("quiet");
  UniqueFd file;
  if (!input.empty()) {
    file = TRY(Open(input, O_RDONLY));
  } else if (IsTerminal(STDIN_FILENO)) {
    return Fail(Errc::kInvalid,
                "an archive is not read from a terminal; name a file with -i or redirect");
  }
  std::unique_ptr<ByteSource> answer;
  {
    FdSource source(file ? file.get() : STDIN_FILENO, input.empty() ? "standard input" : input,
                    quiet ? FdSource::Tell::kNo : FdSource::Tell::kYes);
    answer = TRY(call.client.Upload(Target("/images/load", {{"quiet", quiet ? "1" : ""}}), source,
                                    {{"Content-Type", "application/x-tar"}}));
  }
  TRY(ForEachLine(*answer, [](std::string_view line) -> Result<> {
    auto message = TRY(JsonDocument::Parse(line, "message of the daemon"));
    std::string_view error = message["error"].str();
    if (!error.empty())
      return Fail(Errc::kUnavailable, std::string(error));
    return Print(message["stream"].str());
  }));
  return 0;
}

}  // namespace wherry::cli
