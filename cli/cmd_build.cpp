// build.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>

#include "cli/build_context.h"
#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/progress.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/build/dockerfile.h"
#include "engine/build/path.h"
#include "engine/build/plan.h"
#include "net/registry/reference.h"
#include "store/tar_header.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;
constexpr const char* kIgnoreFile = ".dockerignore";

constexpr Option kBuild[] = {
    {"build-arg", 0, kList, "NAME[=VALUE]",
     "Value of an ARG; without one, that of the environment"},
    {"file", 'f', kValue, "FILE", "The Dockerfile (PATH/Dockerfile); - is standard input"},
    {"iidfile", 0, kValue, "FILE", "Write the image's ID to a file"},
    {"label", 0, kList, "NAME[=VALUE]", "Label of the image"},
    {"network", 0, kValue, "MODE", "Network of RUN: default, none, host"},
    {"no-cache", 0, kFlag, "", "Carry out every instruction"},
    {"platform", 0, kValue, "OS/ARCH", "Platform of the image"},
    {"pull", 0, kFlag, "", "Look for newer base images in their registries"},
    {"quiet", 'q', kFlag, "", "Print the image's ID only"},
    {"tag", 't', kList, "NAME", "Name of the image"},
    {"target", 0, kValue, "STAGE", "The stage to build"},
};

// Bytes that were looked at, and what comes after them.
class Rest final : public ByteSource {
 public:
  Rest(std::string begin, int fd) : begin_(std::move(begin)), fd_(fd) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    if (given_ < begin_.size()) {
      size_t count = std::min(out.size(), begin_.size() - given_);
      memcpy(out.data(), begin_.data() + given_, count);
      given_ += count;
      return count;
    }
    ssize_t count;
    do {
      count = read(fd_, out.data(), out.size());
    } while (count < 0 && errno == EINTR);
    return count < 0 ? Result<size_t>(FailSys("read", "standard input"))
                     : static_cast<size_t>(count);
  }

 private:
  std::string begin_;
  size_t given_ = 0;
  int fd_;
};

bool IsArchive(std::string_view begin) {
  constexpr std::string_view kMagics[] = {"\x1f\x8b", "\x28\xb5\x2f\xfd"};
  for (std::string_view magic : kMagics) {
    if (begin.starts_with(magic))
      return true;
  }
  return begin.size() >= store::kTarBlock &&
         store::DecodeTarHeader(begin.substr(0, store::kTarBlock)).has_value();
}

Result<std::string> ReadInput(size_t most) {
  Rest input("", STDIN_FILENO);
  std::string text(most, '\0');
  size_t size = 0;
  while (size < most) {
    size_t count = TRY(input.Read(std::as_writable_bytes(std::span(text).subspan(size))));
    if (count == 0)
      break;
    size += count;
  }
  text.resize(size);
  return text;
}

// What is sent, and the Dockerfile's name and text in it; the text of an archive is not known.
struct Context {
  std::unique_ptr<ByteSource> source;
  std::string dockerfile;
  std::string text;
};

Result<Context> ContextFromInput(const std::string& file) {
  std::string begin = TRY(ReadInput(store::kTarBlock));
  if (IsArchive(begin)) {
    return Context{std::make_unique<Rest>(std::move(begin), STDIN_FILENO),
                   file.empty() ? "Dockerfile" : file, ""};
  }
  begin += TRY(ReadInput(build::kMaxDockerfileBytes));
  auto ignored = TRY(build::IgnoreList::Parse(""));
  std::vector<ExtraFile> extras = {{"Dockerfile", begin}};
  return Context{std::make_unique<BuildContext>(UniqueFd(), std::move(ignored),
                                                std::vector<std::string>(), std::move(extras)),
                 "Dockerfile", std::move(begin)};
}

// "/a/b" below "/a": "b"; nothing when it is elsewhere.
std::optional<std::string> Below(const std::string& directory, const std::string& file) {
  char top[PATH_MAX];
  char path[PATH_MAX];
  if (realpath(directory.c_str(), top) == nullptr || realpath(file.c_str(), path) == nullptr)
    return std::nullopt;
  std::string prefix = Cat(top, std::string_view(top) == "/" ? "" : "/");
  if (!std::string_view(path).starts_with(prefix))
    return std::nullopt;
  return std::string(path).substr(prefix.size());
}

// A Dockerfile from elsewhere gets a name that the daemon takes out again, because the
// .dockerignore that is sent has it.
Result<Context> ContextFromDirectory(const std::string& path, const std::string& file) {
  UniqueFd directory = TRY_CTX("build context", OpenDir(path));
  std::string ignore;
  auto ignore_file = ReadFileAt(directory.get(), kIgnoreFile, build::kMaxIgnoreBytes);
  if (!ignore_file && ignore_file.error().code() != Errc::kNotFound)
    return std::unexpected(std::move(ignore_file).error());
  ignore = std::move(ignore_file).value_or("");
  auto ignored = TRY_CTX(kIgnoreFile, build::IgnoreList::Parse(ignore));
  Context context;
  std::vector<ExtraFile> extras;
  std::optional<std::string> inside;
  if (file == "-") {
    context.text = TRY(ReadInput(build::kMaxDockerfileBytes));
  } else {
    std::string name = file.empty() ? Cat(path, "/Dockerfile") : file;
    context.text = TRY_CTX("Dockerfile", ReadFile(name, build::kMaxDockerfileBytes));
    inside = Below(path, name);
  }
  if (inside) {
    context.dockerfile = *inside;
  } else {
    context.dockerfile = Cat(".dockerfile.", RandomId().substr(0, 20));
    extras.push_back({context.dockerfile, context.text});
    extras.push_back({kIgnoreFile, Cat(ignore, "\n", context.dockerfile, "\n")});
  }
  std::vector<std::string> kept = {context.dockerfile, kIgnoreFile};
  context.source = std::make_unique<BuildContext>(std::move(directory), std::move(ignored),
                                                  std::move(kept), std::move(extras));
  return context;
}

Result<std::map<std::string, std::string>> ReadPairs(const Arguments& arguments,
                                                     std::string_view option, bool environment) {
  std::map<std::string, std::string> pairs;
  for (const std::string& word : arguments.List(option)) {
    auto pair = SplitFirst(word, '=');
    if (pair) {
      pairs[std::string(pair->head)] = pair->tail;
    } else if (const char* value = getenv(word.c_str()); environment && value != nullptr) {
      pairs[word] = value;
    } else if (!environment) {
      pairs[word] = "";
    }
  }
  return pairs;
}

std::string ToJson(const std::map<std::string, std::string>& pairs) {
  if (pairs.empty())
    return {};
  JsonWriter json;
  json.Object();
  for (const auto& [name, value] : pairs)
    json.Field(name, value);
  json.End();
  return json.Take();
}

// The registries that the Dockerfile names; one that is not understood here is the daemon's to
// refuse.
std::set<std::string> RegistriesOf(const std::string& text,
                                   const std::map<std::string, std::string>& args) {
  std::set<std::string> hosts;
  auto parsed = build::ParseDockerfile(text);
  if (!parsed)
    return hosts;
  auto plan = build::MakePlan(
      *parsed, {.target = "", .build_args = args, .build_platform = {}, .target_platform = {}});
  if (!plan)
    return hosts;
  auto add = [&](const std::string& name) {
    auto reference = registry::Reference::Parse(name);
    if (reference && name != build::kScratch)
      hosts.insert(reference->registry);
  };
  for (const build::Stage& stage : plan->stages) {
    if (!stage.image.empty())
      add(stage.image);
    for (const build::Instruction& instruction : stage.instructions) {
      const auto* copy = std::get_if<build::Copy>(&instruction.what);
      if (copy != nullptr && !copy->from.empty())
        add(copy->from);
    }
  }
  return hosts;
}

Result<std::vector<http::Header>> HeadersFor(const std::set<std::string>& hosts) {
  std::vector<http::Header> headers = {{"Content-Type", "application/x-tar"}};
  JsonWriter json;
  json.Object();
  for (const std::string& host : hosts) {
    auto found = TRY(AuthHeaders(host));
    if (!found.empty())
      json.Key(host).Raw(TRY(Base64Decode(found[0].value)));
  }
  json.End();
  headers.push_back({"X-Registry-Config", Base64Encode(json.text())});
  return headers;
}

Result<std::string> Follow(ByteSource& answer, bool quiet) {
  bool terminal = IsTerminal(STDOUT_FILENO);
  ProgressDisplay display(STDOUT_FILENO,
                          terminal ? SizeOfTerminal(STDOUT_FILENO).columns : uint16_t{0});
  std::string id;
  TRY(ForEachLine(answer, [&](std::string_view line) -> Result<> {
    auto message = TRY(JsonDocument::Parse(line, "message of the daemon"));
    if (std::string_view error = message["error"].str(); !error.empty())
      return Fail(Errc::kInvalid, std::string(error));
    if (std::string_view aux = message["aux"]["ID"].str(); !aux.empty())
      id = aux;
    if (!message["status"].str().empty())
      display.Show(message.root());
    std::string_view text = message["stream"].str();
    if (quiet)
      id = Trim(text);
    return Print(text);
  }));
  return id;
}

}  // namespace

std::span<const Option> BuildOptions() {
  return kBuild;
}

Result<int> BuildCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  std::string path = call.word(0);
  std::string file = arguments.Value("file");
  if (path == "-" && file == "-")
    return Fail(Errc::kInvalid, "context and Dockerfile cannot both be standard input");
  Context context = TRY(path == "-" ? ContextFromInput(file) : ContextFromDirectory(path, file));
  auto args = TRY(ReadPairs(arguments, "build-arg", true));
  auto labels = TRY(ReadPairs(arguments, "label", false));
  bool quiet = arguments.Flag("quiet");
  Query query = {{"dockerfile", context.dockerfile},
                 {"buildargs", ToJson(args)},
                 {"labels", ToJson(labels)},
                 {"networkmode", arguments.Value("network")},
                 {"nocache", arguments.Flag("no-cache") ? "1" : ""},
                 {"platform", arguments.Value("platform")},
                 {"pull", arguments.Flag("pull") ? "1" : ""},
                 {"q", quiet ? "1" : ""},
                 {"target", arguments.Value("target")},
                 {"rm", "1"},
                 {"version", "1"}};
  for (const std::string& name : arguments.List("tag"))
    query.emplace_back("t", name);
  auto headers = TRY(HeadersFor(RegistriesOf(context.text, args)));
  auto answer = TRY(call.client.Upload(Target("/build", query), *context.source, headers));
  std::string id = TRY(Follow(*answer, quiet));
  if (std::string out = arguments.Value("iidfile"); !out.empty())
    TRY_CTX("--iidfile", ReplaceFile(out, id, 0644, Durability::kVolatile));
  return 0;
}

}  // namespace wherry::cli
