#include "cli/compose/project.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/compose/load.h"

namespace wherry::cli {

namespace {

constexpr size_t kMaxEnvFile = 1 << 20;
constexpr std::string_view kNames[] = {"compose.yaml", "compose.yml", "docker-compose.yaml",
                                       "docker-compose.yml"};
constexpr std::string_view kOverrides[] = {"compose.override.yaml", "compose.override.yml",
                                           "docker-compose.override.yaml",
                                           "docker-compose.override.yml"};

bool IsFile(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode);
}

Result<std::string> WorkingDirectory() {
  char path[PATH_MAX];
  if (getcwd(path, sizeof path) == nullptr)
    return FailSys("getcwd");
  return std::string(path);
}

std::string Absolute(std::string_view base, std::string_view path) {
  return path.starts_with('/') ? std::string(path) : Cat(base, "/", path);
}

compose::Environment OwnEnvironment() {
  compose::Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (auto split = SplitFirst(*entry, '='))
      environment[std::string(split->head)] = split->tail;
  }
  return environment;
}

std::string Lookup(const compose::Environment& environment, std::string_view name) {
  auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

// The first of `names` in `directory`; empty when there is none.
std::string FirstOf(std::span<const std::string_view> names, const std::string& directory) {
  for (std::string_view name : names) {
    if (std::string path = Cat(directory, "/", name); IsFile(path))
      return path;
  }
  return {};
}

// The file in the working directory or in one above it, and what overrides it.
std::vector<std::string> DefaultFiles(std::string directory) {
  std::vector<std::string> files;
  for (;;) {
    if (std::string file = FirstOf(kNames, directory); !file.empty()) {
      files.push_back(std::move(file));
      if (std::string over = FirstOf(kOverrides, directory); !over.empty())
        files.push_back(std::move(over));
      return files;
    }
    auto up = SplitLast(directory, '/');
    if (!up || directory == "/")
      return files;
    directory = up->head.empty() ? "/" : std::string(up->head);
  }
}

std::vector<std::string> NonEmpty(std::string_view list, char separator) {
  std::vector<std::string> parts;
  for (std::string_view part : Split(list, separator)) {
    if (!Trim(part).empty())
      parts.emplace_back(Trim(part));
  }
  return parts;
}

// What is in the environment files, below what the environment itself has.
Result<> AddEnvFiles(const Arguments& global, const std::string& directory,
                     compose::Environment& environment) {
  std::vector<std::string> files = global.List("env-file");
  bool given = !files.empty();
  if (!given)
    files.push_back(Cat(directory, "/.env"));
  compose::Environment read;
  for (const std::string& file : files) {
    if (!given && !IsFile(file))
      continue;
    std::string text = TRY_CTX("environment file", ReadFile(file, kMaxEnvFile));
    for (auto& [name, value] : TRY_CTX(file, compose::ParseEnvFile(text, environment)))
      read[name] = value;
  }
  for (auto& [name, value] : read)
    environment.emplace(name, std::move(value));
  return {};
}

Result<compose::SourceFile> ReadSource(const std::string& path, const std::string& base) {
  compose::SourceFile file;
  file.name = path;
  if (path.starts_with(Cat(base, "/")))
    file.name = path.substr(base.size() + 1);
  file.path = path;
  if (path == "-") {
    file.name = "standard input";
    file.text = TRY(ReadAll(STDIN_FILENO, compose::kMaxFileBytes, file.name));
  } else {
    file.text = TRY(ReadFile(path, compose::kMaxFileBytes));
  }
  return file;
}

std::vector<std::string> FilePaths(const Arguments& global, const std::string& directory,
                                   const std::string& base,
                                   const compose::Environment& environment) {
  std::vector<std::string> files = global.List("file");
  if (files.empty()) {
    std::string separator = Lookup(environment, "COMPOSE_PATH_SEPARATOR");
    files = NonEmpty(Lookup(environment, "COMPOSE_FILE"), separator.empty() ? ':' : separator[0]);
  }
  if (files.empty())
    return DefaultFiles(directory);
  for (std::string& file : files) {
    if (file != "-")
      file = Absolute(base, file);
  }
  return files;
}

Result<Project> WithoutFiles(std::string name, Files files) {
  if (files == Files::kNeeded || name.empty()) {
    return Fail(Errc::kNotFound,
                "no compose.yaml in this directory or above it; name one with --file (-f)");
  }
  Project project;
  project.group.name = std::move(name);
  return project;
}

std::string DirectoryOf(const std::string& path) {
  PathParts parts = SplitPath(path);
  return parts.dir;
}

}  // namespace

void Say(std::string_view text) {
  (void)WriteAll(STDERR_FILENO, Cat(text, "\n"), "standard error");
}

Result<Project> LoadProject(const Arguments& global, Files files) {
  std::string base = TRY(WorkingDirectory());
  compose::Environment environment = OwnEnvironment();
  std::string directory = global.Value("project-directory");
  bool given = !directory.empty();
  directory = given ? Absolute(base, directory) : base;
  auto paths = FilePaths(global, directory, base, environment);
  if (!given && !paths.empty() && paths[0] != "-")
    directory = DirectoryOf(paths[0]);
  // The directory's .env may name the files, so they are looked up again.
  TRY(AddEnvFiles(global, directory, environment));
  if (!global.Has("file"))
    paths = FilePaths(global, directory, base, environment);
  char real[PATH_MAX];
  if (realpath(directory.c_str(), real) == nullptr)
    return FailSys("realpath", directory);
  compose::Sources sources;
  sources.directory = real;
  sources.name = global.Value("project-name", Lookup(environment, "COMPOSE_PROJECT_NAME"));
  if (compose::GroupName(sources.name) != sources.name) {
    return Fail(Errc::kInvalid, Cat("project name ", sources.name,
                                    " must have lower case letters, digits, - and _ only"));
  }
  if (paths.empty())
    return WithoutFiles(std::move(sources.name), files);
  for (const std::string& path : paths)
    sources.files.push_back(TRY(ReadSource(path, base)));
  Project project;
  project.profiles = global.List("profile");
  if (project.profiles.empty())
    project.profiles = NonEmpty(Lookup(environment, "COMPOSE_PROFILES"), ',');
  sources.environment = std::move(environment);
  sources.read_file = [](const std::string& path) { return ReadFile(path, kMaxEnvFile); };
  compose::Loaded loaded = TRY(compose::Load(sources));
  for (const std::string& warning : loaded.warnings)
    Say(Cat("WARNING: ", warning));
  project.group = std::move(loaded.group);
  project.tree = std::move(loaded.tree);
  project.has_files = true;
  return project;
}

Result<std::vector<const compose::Service*>> ServicesOf(const ComposeCall& call,
                                                        const std::vector<std::string>& names,
                                                        compose::Dependencies dependencies) {
  return compose::SelectServices(call.project.group, names, call.project.profiles, dependencies);
}

}  // namespace wherry::cli
