// How two fabrics prove to each other that they know the run's token. Private to net/.
//
//   initiator                                   responder
//   hello(a, HMAC("hello", a))        ------->  knows the token?  else refusal
//   knows the token?                  <-------  challenge(b, HMAC("challenge", a, b))
//   proof(HMAC("proof", a, b))        ------->  is it alive, no recording?  then welcome
//
// a, b: nonces of 32 random bytes. Every HMAC is SHA-256's, under the token, and over version and
// layout as well. A recorded hello gets a challenge and no further. Threading: one thread a handshake.
#pragma once

#include "paceline/net/fabric.h"
#include "paceline/net/frames.h"

namespace paceline {

class Initiator {
 public:
  Initiator(const FabricToken& token, std::uint64_t layout_hash);
  Hello hello() const;
  /// @return permission_denied: who was called has another token
  Result<Proof> answer(const Challenge& challenge) const;

 private:
  const FabricToken token_;
  const std::uint64_t layout_hash_;
  const Nonce own_;
};

class Responder {
 public:
  Responder(const FabricToken& token, std::uint64_t layout_hash);
  /// @return the reason to refuse, where there is one
  boost::outcome_v2::basic_result<Challenge, RefusalReason, boost::outcome_v2::policy::terminate>
  answer(const Hello& hello);
  /// @pre answer() gave a challenge
  bool is_right(const Proof& proof) const;

 private:
  const FabricToken token_;
  const std::uint64_t layout_hash_;
  const Nonce own_;
  Nonce others_ = {};
};

}  // namespace paceline
