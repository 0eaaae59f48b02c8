// Certificates for tests, made by openssl in a directory that goes with it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "core/base/text.h"
#include "net/tls/config.h"
#include "tests/unit/temp_dir.h"

namespace wherry::tls {

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name = "test authority") {
    Run(
        Cat("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "
            "'/CN=",
            name, "' -keyout ", directory_ / "ca.key", " -out ", ca()));
  }

  std::string ca() const { return directory_ / "ca.pem"; }

  // PEM files of a certificate for `name`, which is a host name, too.
  IdentityFiles Issue(const std::string& name, int days = 30, const std::string& more = "") const {
    IdentityFiles files{directory_ / (name + ".pem"), directory_ / (name + ".key")};
    std::string request = directory_ / (name + ".csr");
    std::string extensions = directory_ / (name + ".ext");
    Run(Cat("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=", name,
            "' -keyout ", files.key, " -out ", request));
    Run(Cat("printf 'subjectAltName=DNS:", name, more, "\\n' > ", extensions));
    Run(Cat("openssl x509 -req -in ", request, " -CA ", ca(), " -CAkey ", directory_ / "ca.key",
            " -CAcreateserial -days ", days, " -extfile ", extensions, " -out ",
            files.certificate));
    Run(Cat("chmod 600 ", files.key));
    return files;
  }

  TlsTrust trust() const { return {{ca()}, "[test]"}; }
  std::string File(const std::string& name) const { return directory_ / name; }

 private:
  static void Run(const std::string& command) {
    if (system(("{ " + command + "; } >/dev/null 2>&1").c_str()) != 0 &&
        system(("{ " + command + "; } >&2").c_str()) != 0)
      ADD_FAILURE() << command;
  }

  TempDir directory_;
};

}  // namespace wherry::tls
