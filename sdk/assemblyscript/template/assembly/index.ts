// A filter in AssemblyScript: greets in a header, and turns away who says too little of itself.
export * from "./callbacks";
import { Action, Filter, Level, log, onStart } from "./proxy";

let greeting = "hello";

class Greeter extends Filter {
  onRequestHeaders(count: i32, end: bool): Action {
    if (this.requestHeaders.get("user-agent") !== null) return Action.Continue;
    this.answer(403, "who are you?\n");
    return Action.Pause;
  }

  onResponseHeaders(count: i32, end: bool): Action {
    this.responseHeaders.set("x-greeting", greeting);
    return Action.Continue;
  }
}

onStart(
  // The manifest's `config`, a string here; false refuses the manifest.
  (config: string): bool => {
    if (config.length > 64) {
      log(Level.Error, "the greeting is too long");
      return false;
    }
    if (config.length) greeting = config;
    return true;
  },
  (): Filter => new Greeter(),
);
