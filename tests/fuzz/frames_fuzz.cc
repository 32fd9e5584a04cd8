// libFuzzer: whatever bytes come, parse_frame() says what they are or why they are none, and what it
// takes for a frame keeps its promises (FR-1 to FR-3). One target a kind of frame, whose head it
// puts right, since a fuzzer seldom guesses it, and one for any bytes.
//   PACELINE_FUZZ_KIND  the kind's number; 0: any bytes
#include "fuzz/frame_promises.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  const auto input = std::as_bytes(std::span(data, bytes));
  paceline::check_frame(input);
#if PACELINE_FUZZ_KIND != 0
  if (bytes >= sizeof(paceline::FrameHead))
    paceline::check_body(static_cast<paceline::FrameKind>(PACELINE_FUZZ_KIND),
                         input.subspan(sizeof(paceline::FrameHead)));
#endif
  return 0;
}
