// Pulling and pushing with progress: bars that move on a terminal, one line per finished step
// elsewhere.
#pragma once

#include <string>

#include "cli/client.h"
#include "core/base/result.h"

namespace wherry::cli {

struct PullRequest {
  std::string platform;  // empty: this machine
  bool quiet = false;
  int output = 1;  // descriptor the progress goes to
};

// Credentials for the registry of `image` come from the credentials file.
Result<> PullImage(Client& client, const std::string& image, const PullRequest& options);

struct PushRequest {
  bool all_tags = false;  // of the repository that `image` names
  bool quiet = false;
  int output = 1;
};
Result<> PushImage(Client& client, const std::string& image, const PushRequest& options);

}  // namespace wherry::cli
