/** How far a pull is, by the lines that an engine streams. */

interface Layer {
  readonly current: number;
  readonly total: number;
}

/** Layers of a pull that are counted; registries have fewer. */
const MOST_LAYERS = 512;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** Adds up the bytes of all layers. */
export class PullProgress {
  readonly #layers = new Map<string, Layer>();
  #shown = 0;
  /** What the registry or the engine said, where the pull has failed. */
  failure: string | undefined;

  /** Takes a line; returns the percentage where there is a new one. It never falls, also where a layer becomes known late. */
  take(line: unknown): number | undefined {
    if (!isObject(line)) return undefined;
    const { id, status, error, errorDetail, progressDetail } = line;
    if (error !== undefined) {
      this.failure = String((isObject(errorDetail) ? errorDetail["message"] : undefined) ?? error);
      return undefined;
    }
    if (typeof id !== "string" || (!this.#layers.has(id) && this.#layers.size >= MOST_LAYERS)) return undefined;
    const known = this.#layers.get(id);
    if (status === "Download complete" || status === "Pull complete" || status === "Already exists") {
      const total = known?.total ?? 0;
      this.#layers.set(id, { current: total, total });
    } else if (status === "Downloading" && isObject(progressDetail)) {
      const { current, total } = progressDetail;
      if (typeof current === "number" && typeof total === "number" && total > 0)
        this.#layers.set(id, { current: Math.min(current, total), total });
    } else return undefined;
    const layers = [...this.#layers.values()];
    const total = layers.reduce((sum, layer) => sum + layer.total, 0);
    if (total === 0) return undefined;
    const percent = Math.floor((100 * layers.reduce((sum, layer) => sum + layer.current, 0)) / total);
    if (percent <= this.#shown) return undefined;
    this.#shown = percent;
    return percent;
  }
}
