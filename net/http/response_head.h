// The text of response heads. Internal to the server.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http/header.h"

namespace wherry::http {

// Status line and `headers`, without the empty line at the end. Control characters in values become
// blanks.
std::string ResponseHead(int status, const std::vector<Header>& headers);
void AppendHeader(std::string& head, std::string_view name, std::string_view value);

// A complete answer with {"message": reason} after which the connection closes.
std::string ErrorResponse(int status, const std::vector<Header>& common, std::string_view reason);

// 1xx, 204 and 304 never have a body.
bool StatusHasBody(int status);

}  // namespace wherry::http
