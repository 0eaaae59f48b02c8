// cp: files out of a container and into one. What is copied where follows docker cp, which follows
// cp -r: into a directory that is there, else under the new name.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "cli/commands.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "store/change_archive.h"
#include "store/tree_entries.h"
#include "store/tree_extract.h"

namespace wherry::cli {

namespace {

constexpr Option kCopy[] = {
    {"archive", 'a', OptionKind::kFlag, "", "Files become those of the container's user"},
};

constexpr size_t kPiece = size_t{64} << 10;
constexpr uint32_t kGoDirectory = 1U << 31;

// "NAME:PATH"; what begins with "/" or "." is a path here.
struct Place {
  std::string container;  // empty: here
  std::string path;
};

Place ParsePlace(const std::string& word) {
  auto split = SplitFirst(word, ':');
  if (!split || word.starts_with('/') || word.starts_with('.'))
    return {{}, word};
  return {std::string(split->head), std::string(split->tail.empty() ? "/" : split->tail)};
}

// What is at a path of a container.
struct RemoteStat {
  bool there = false;
  bool directory = false;
  std::string name;
};

Result<RemoteStat> ReadStat(const http::Response& head) {
  std::string text = TRY(Base64Decode(head.header("X-Docker-Container-Path-Stat")));
  auto stat = TRY(JsonDocument::Parse(text, "answer of the daemon"));
  auto mode = static_cast<uint32_t>(stat["mode"].integer());
  return RemoteStat{true, (mode & kGoDirectory) != 0, std::string(stat["name"].str())};
}

std::string ArchiveTarget(const Place& place, const Query& more = {}) {
  Query query{{"path", place.path}};
  query.insert(query.end(), more.begin(), more.end());
  return Target(Cat("/containers/", Segment(place.container), "/archive"), query);
}

Result<RemoteStat> StatRemote(const Invocation& call, Place place) {
  http::Response head;
  auto answer = call.client.Open("HEAD", ArchiveTarget(place), {}, {}, &head);
  if (!answer && answer.error().code() == Errc::kNotFound) {
    TRY(call.client.Get(Target(Cat("/containers/", Segment(place.container), "/json"))));
    return RemoteStat();
  }
  if (!answer)
    return std::unexpected(std::move(answer).error());
  return ReadStat(head);
}

bool EndsInDirectory(std::string_view path) {
  return path.ends_with('/') || path.ends_with("/.") || path == ".";
}

// The last component of a path; "." stands for what is in a directory.
std::string NameOf(const std::string& path) {
  return path.ends_with("/.") || path == "." ? "." : SplitPath(path).name;
}

Result<> CopyStream(ByteSource& source, int fd) {
  std::string piece(kPiece, '\0');
  for (;;) {
    size_t count = TRY(source.Read(std::as_writable_bytes(std::span(piece))));
    if (count == 0)
      return {};
    TRY(WriteAll(fd, std::string_view(piece).substr(0, count), "standard output"));
  }
}

// --- Out of a container

// Where the archive is unpacked, and what its first names become.
struct Landing {
  UniqueFd directory;
  std::optional<std::pair<std::string, std::string>> rename;
};

Result<Landing> LandingOf(const std::string& path, const RemoteStat& source) {
  struct stat info{};
  bool there = stat(path.c_str(), &info) == 0;
  Landing landing;
  if (there && S_ISDIR(info.st_mode)) {
    landing.directory = TRY(OpenDir(path));
    return landing;
  }
  if (there && source.directory)
    return Fail(Errc::kInvalid, Cat("cannot copy a directory over the file ", path));
  if (!source.directory && path.ends_with('/'))
    return Fail(Errc::kNotFound, Cat("the directory ", path, " does not exist"));
  if (source.directory) {
    if (mkdir(path.c_str(), 0755) != 0)
      return FailSys("mkdir", path);
    landing.directory = TRY(OpenDir(path));
    landing.rename = {source.name, ""};
    return landing;
  }
  PathParts parts = SplitPath(path);
  landing.directory = TRY(OpenDir(parts.dir));
  landing.rename = {source.name, parts.name};
  return landing;
}

Result<> CopyOut(const Invocation& call, const Place& from, const std::string& to) {
  http::Response head;
  auto archive = TRY(call.client.Open("GET", ArchiveTarget(from), {}, {}, &head));
  if (to == "-")
    return CopyStream(*archive, STDOUT_FILENO);
  RemoteStat source = TRY(ReadStat(head));
  Landing landing = TRY(LandingOf(to, source));
  store::ExtractOptions options;
  options.owner = store::ExtractOptions::Owner::kCaller;
  options.keep_kinds = true;
  options.rename = std::move(landing.rename);
  return store::ExtractTree(*archive, landing.directory.get(), "/", std::move(options));
}

// --- Into a container

class StandardInput final : public ByteSource {
 public:
  Result<size_t> Read(std::span<std::byte> out) override {
    for (;;) {
      ssize_t count = read(STDIN_FILENO, out.data(), out.size());
      if (count >= 0)
        return static_cast<size_t>(count);
      if (errno != EINTR)
        return FailSys("read", "standard input");
    }
  }
};

Result<> Put(const Invocation& call, const Place& directory, ByteSource& archive) {
  Query query{{"noOverwriteDirNonDir", "true"}};
  if (call.arguments.Flag("archive"))
    query.emplace_back("copyUIDGID", "true");
  TRY(call.client.Upload(ArchiveTarget(directory, query), archive,
                         {{"Content-Type", "application/x-tar"}}, "PUT"));
  return {};
}

Result<> CopyIn(const Invocation& call, const std::string& from, Place to) {
  if (from == "-") {
    StandardInput input;
    return Put(call, to, input);
  }
  struct stat info{};
  if (lstat(from.c_str(), &info) != 0)
    return FailSys("lstat", from);
  bool directory = S_ISDIR(info.st_mode);
  RemoteStat target = TRY(StatRemote(call, to));
  if (target.there && !target.directory) {  // a link to a directory?
    Place behind{to.container, Cat(to.path, "/.")};
    RemoteStat other = TRY(StatRemote(call, behind));
    if (other.directory)
      target = other;
  }
  std::string name = NameOf(from);
  if (!target.directory) {
    if (target.there && directory)
      return Fail(Errc::kInvalid, Cat("cannot copy a directory over the file ", to.path));
    if (!directory && EndsInDirectory(to.path))
      return Fail(Errc::kNotFound, Cat("the directory ", to.path, " does not exist"));
    PathParts parts = SplitPath(to.path);
    to.path = parts.dir == "." ? "/" : parts.dir;
    name = parts.name;
  }
  PathParts source = SplitPath(from);
  bool whole = directory && (NameOf(from) == "." || source.name.empty() || source.name == "..");
  UniqueFd parent = TRY(OpenDir(whole ? from : source.dir));
  store::ChangeArchive archive(std::make_unique<store::TreeEntries>(
      std::move(parent), whole ? "." : source.name, name.empty() || name == ".." ? "." : name));
  return Put(call, to, archive);
}

}  // namespace

std::span<const Option> CopyOptions() {
  return kCopy;
}

Result<int> CopyCommand(const Invocation& call) {
  Place from = ParsePlace(call.word(0));
  Place to = ParsePlace(call.word(1));
  if (!from.container.empty() && !to.container.empty())
    return Fail(Errc::kUnsupported, "copying between containers is not supported");
  if (from.container.empty() && to.container.empty())
    return Fail(Errc::kInvalid, "one of the two must be CONTAINER:PATH");
  if (to.container.empty()) {
    TRY(CopyOut(call, from, to.path));
  } else {
    TRY(CopyIn(call, from.path, std::move(to)));
  }
  return 0;
}

}  // namespace wherry::cli
