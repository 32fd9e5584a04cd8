// One spelling for CAF 0.17.6 (Debian's) and CAF 1.x; everything that differs between them stands
// here.
//   CC-1 No float or double is ever a field of a message that may be serialised: 0.17 loses -0 and
//        denormals and hangs on infinities. Protocol messages travel as opaque words (Wire).
//   CC-2 Timers re-arm themselves when they fire; never tick unconditionally: shutdown would wait
//        for ever.
#pragma once

#include <caf/config.hpp>
#ifdef CAF_VERSION_MAJOR  // CAF_VERSION itself is octal in 1.1.0
#define PACELINE_CAF_1 1
#include <caf/anon_mail.hpp>
#include <caf/init_global_meta_objects.hpp>
#else
#define PACELINE_CAF_1 0
#include <caf/meta/type_name.hpp>
#endif
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <utility>

namespace paceline {

// Signatures: Typed<caf::result<R>(A...), ...> on both.
#if PACELINE_CAF_1
template <class... Signatures>
using Typed = caf::typed_actor<Signatures...>;
#else
template <class>
struct Interface;
template <class... R, class... A>
struct Interface<caf::result<R...>(A...)> {
  using type = caf::typed_mpi<caf::detail::type_list<std::decay_t<A>...>, caf::output_tuple<R...> >;
};
template <class... Signatures>
using Typed = caf::typed_actor<typename Interface<Signatures>::type...>;
#endif

// inspect: `return fields(f, "name", x, field("a", x.a), ...)`.
template <class T>
struct Field {
  const char* name;
  T& value;
};
template <class T>
Field<T> field(const char* name, T& value) {
  return {name, value};
}
template <class Inspector, class T, class... Ts>
auto fields(Inspector& f, const char* name, T& object, Field<Ts>... of) {
#if PACELINE_CAF_1
  return f.object(object).pretty_name(name).fields(f.field(of.name, of.value)...);
#else
  static_cast<void>(object);
  return f(caf::meta::type_name(name), of.value...);
#endif
}

template <class Self, class To, class... Ts>
void tell(Self* self, const To& to, Ts&&... xs) {
#if PACELINE_CAF_1
  self->mail(std::forward<Ts>(xs)...).send(to);
#else
  self->send(to, std::forward<Ts>(xs)...);
#endif
}
template <class Self, class To, class Delay, class... Ts>
void tell_after(Self* self, const To& to, Delay delay, Ts&&... xs) {
#if PACELINE_CAF_1
  self->mail(std::forward<Ts>(xs)...).delay(delay).send(to);
#else
  self->delayed_send(to, delay, std::forward<Ts>(xs)...);
#endif
}
/// From outside any actor; may be called from any thread.
template <class To, class... Ts>
void anonymously_tell(const To& to, Ts&&... xs) {
#if PACELINE_CAF_1
  caf::anon_mail(std::forward<Ts>(xs)...).send(to);
#else
  caf::anon_send(to, std::forward<Ts>(xs)...);
#endif
}
template <class Self, class To, class Timeout, class... Ts>
auto ask(Self* self, const To& to, Timeout timeout, Ts&&... xs) {
#if PACELINE_CAF_1
  return self->mail(std::forward<Ts>(xs)...).request(to, timeout);
#else
  return self->request(to, timeout, std::forward<Ts>(xs)...);
#endif
}

/// The state of a stateful actor.
template <class Actor>
auto& state(Actor* self) {
#if PACELINE_CAF_1
  return self->state();
#else
  return self->state;
#endif
}

/// The sharing scheduler: an idle system costs a thousandth of a percent of a core, stealing some
/// tenths.
inline void use_sharing_scheduler(caf::actor_system_config& config, std::size_t threads) {
#if PACELINE_CAF_1
  config.set("caf.scheduler.policy", "sharing");
  config.set("caf.scheduler.max-threads", threads);
#else
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", threads);
#endif
}

}  // namespace paceline
