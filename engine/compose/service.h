// The service of a compose file: keys to model. Internal to engine/compose.
#pragma once

#include <functional>
#include <string>

#include "engine/compose/group.h"
#include "engine/compose/value.h"
#include "engine/compose/volumes.h"

namespace wherry::compose {

using FileReader = std::function<Result<std::string>(const std::string& path)>;

// What reading a service needs beside the tree.
struct ServiceContext {
  Surroundings around;
  const Environment& environment;
  const FileReader& read_file;
};

// Problems go to the report of `value`; the service is whole only when there are none.
Service ReadService(const Value& value, std::string name, const ServiceContext& context);

// The words of a command, split as a shell does: quotes, backslashes, blanks. No variables.
// kInvalid for a quote that is not closed.
Result<std::vector<std::string>> SplitCommand(std::string_view text);

// Parts with keys of their own, by file.
void ReadBuild(const Value& value, const Surroundings& around,
               Service& service);                            // service_build.cpp
void ReadDeploy(const Value& value, Service& service);       // service_deploy.cpp
void ReadHealthcheck(const Value& value, Service& service);  // service_health.cpp
void ReadNetworks(const Value& value, Service& service);     // service_networks.cpp
void ReadDependsOn(const Value& value, Service& service);
void ReadDevices(const Value& value, Service& service);  // service_limits.cpp
void ReadUlimits(const Value& value, Service& service);
void ReadRestart(const Value& value, Service& service);
void ReadLogging(const Value& value, Service& service);
void ReadExtraHosts(const Value& value, Service& service);
void ReadTmpfs(const Value& value, Service& service);

}  // namespace wherry::compose
