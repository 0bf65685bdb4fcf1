// Answers get the headers that browsers ask for before they trust a page, and lose those that tell
// strangers what runs behind. One line of the configuration a header: "name: value" sets one that the
// upstream did not set, "-name" takes one away.
export * from "../../../sdk/assemblyscript/callbacks";
import { Action, Filter, Level, log, onStart, property } from "../../../sdk/assemblyscript/proxy";

class Rule {
  constructor(public name: string, public value: string | null) {}
}

const rules: Rule[] = [];

function configure(config: string): bool {
  const lines = config.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i].trim();
    if (!line.length) continue;
    const colon = line.indexOf(":");
    if (line.startsWith("-")) {
      rules.push(new Rule(line.substring(1).trim(), null));
    } else if (colon > 0) {
      rules.push(new Rule(line.substring(0, colon).trim(), line.substring(colon + 1).trim()));
    } else {
      log(Level.Error, `line ${i + 1}: neither "name: value" nor "-name"`);
      return false;
    }
  }
  return true;
}

class Headers extends Filter {
  onResponseHeaders(count: i32, end: bool): Action {
    const headers = this.responseHeaders;
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i];
      const value = rule.value;
      if (value === null) {
        headers.remove(rule.name);
      } else if (headers.get(rule.name) === null && this.fits(rule.name)) {
        headers.set(rule.name, value);
      }
    }
    return Action.Continue;
  }

  /** Browsers heed Strict-Transport-Security over TLS only. */
  private fits(name: string): bool {
    if (name.toLowerCase() != "strict-transport-security") return true;
    const scheme = property(["request", "scheme"]);
    return scheme !== null && String.UTF8.decode(scheme) == "https";
  }
}

onStart(configure, (): Filter => new Headers());
