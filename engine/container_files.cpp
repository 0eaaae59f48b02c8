#include "engine/container_files.h"

#include <sys/utsname.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/network/network.h"
#include "engine/network/resolver_sockets.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxHostFile = 1 << 20;

constexpr std::string_view kLocalHosts =
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n";

std::string ReadOrEmpty(const std::string& path) {
  auto text = ReadFile(path, kMaxHostFile);
  return text ? std::move(*text) : std::string();
}

std::string MachineName() {
  utsname name{};
  return uname(&name) == 0 ? name.nodename : "localhost";
}

std::string_view FirstWord(std::string_view line) {
  line = Trim(line);
  return line.substr(0, line.find_first_of(" \t"));
}

void AppendLine(std::string& out, std::string_view keyword,
                const std::vector<std::string>& values) {
  if (!values.empty())
    Append(out, keyword, " ", Join(values, " "), "\n");
}

}  // namespace

std::string HostsFile(const ContainerConfig& config, const NetworkIdentity& network,
                      std::string_view hostname, std::string_view host_file) {
  bool host = network.mode == kHostNetwork;
  std::string text(host ? host_file : kLocalHosts);
  if (!text.empty() && !text.ends_with('\n'))
    text += '\n';
  auto name_self = [&](std::string_view address) {
    Append(text, address, "\t", hostname);
    if (!config.domainname.empty())
      Append(text, ".", config.domainname, " ", hostname);
    text += '\n';
  };
  for (net::Ipv4 address : network.addresses)
    name_self(address.Text());
  // Without an address of its own the container still resolves its own name.
  if (!host && network.addresses.empty())
    name_self("127.0.1.1");
  for (const std::string& entry : config.host.extra_hosts) {
    auto pair = SplitFirst(entry, ':');
    if (!pair)
      pair = SplitFirst(entry, '=');
    std::string_view address = pair->tail;
    if (address.starts_with('[') && address.ends_with(']'))
      address = address.substr(1, address.size() - 2);
    std::string gateway = host ? "127.0.0.1" : network.gateway.Text();
    if (address == "host-gateway")
      address = gateway;
    Append(text, address, "\t", pair->head, "\n");
  }
  return text;
}

std::string ResolvFile(const HostOptions& options, bool resolver, std::string_view host_file) {
  std::vector<std::string> servers = options.dns;
  if (resolver)
    servers = {kResolverAddress.Text()};
  bool given[] = {!servers.empty(), !options.dns_search.empty(), !options.dns_options.empty()};
  std::string text;
  for (std::string_view line : Split(host_file, '\n')) {
    std::string_view word = FirstWord(line);
    bool replaced = (word == "nameserver" && given[0]) ||
                    ((word == "search" || word == "domain") && given[1]) ||
                    (word == "options" && given[2]);
    if (!replaced && !word.empty())
      Append(text, line, "\n");
  }
  for (const std::string& server : servers)
    Append(text, "nameserver ", server, "\n");
  // "." asks for no search list at all.
  if (!(options.dns_search.size() == 1 && options.dns_search[0] == "."))
    AppendLine(text, "search", options.dns_search);
  AppendLine(text, "options", options.dns_options);
  return text;
}

Result<> WriteNetworkFiles(const ContainerConfig& config, const NetworkIdentity& network,
                           std::string_view hostname, const std::string& run_directory) {
  auto write = [&](std::string_view name, std::string_view content) {
    return ReplaceFile(Cat(run_directory, "/", name), content, 0644, Durability::kVolatile);
  };
  TRY(write("hostname", Cat(hostname, "\n")));
  TRY(write("hosts", HostsFile(config, network, hostname, ReadOrEmpty("/etc/hosts"))));
  return write("resolv.conf",
               ResolvFile(config.host, network.resolver, ReadOrEmpty("/etc/resolv.conf")));
}

std::string EffectiveHostname(const ContainerConfig& config, std::string_view network,
                              std::string_view id) {
  if (config.host.uts_mode == "host")
    return MachineName();
  if (!config.hostname.empty())
    return config.hostname;
  if (network == kHostNetwork)
    return MachineName();
  return std::string(id.substr(0, 12));
}

Result<> CheckBindSources(const ContainerConfig& config, MissingSource missing) {
  for (const MountRequest& mount : config.host.mounts) {
    if (mount.type != MountRequest::Type::kBind || PathExists(mount.source))
      continue;
    if (!mount.create_source) {
      return Fail(Errc::kInvalid,
                  Cat("invalid mount config for type \"bind\": bind source path does not exist: ",
                      mount.source));
    }
    if (missing == MissingSource::kReportOnly)
      continue;
    auto made = MakeDirs(mount.source, 0755);
    if (!made) {
      return std::unexpected(std::move(made).error().Wrap(
          Cat("error while creating mount source path '", mount.source, "'")));
    }
  }
  return {};
}

}  // namespace wherry::engine
