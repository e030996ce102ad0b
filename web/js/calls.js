// Calls to the worker that answer with promises.

export class WorkerCalls {
  /** onPhoto: called with a photo as soon as it is read. */
  constructor(url, onPhoto) {
    this.waiting = new Map();
    this.next = 0;
    this.worker = new Worker(url, { type: "module" });
    this.worker.onmessage = ({ data: { id, photo, event, result, error, stale } }) => {
      if (photo) return onPhoto(photo);
      const call = this.waiting.get(id);
      if (event) return call.onEvent(event);
      this.waiting.delete(id);
      if (error === undefined) call.resolve(result);
      else call.reject(Object.assign(new Error(error), { stale }));
    };
    this.worker.onerror = (event) => {
      for (const call of this.waiting.values()) call.reject(new Error(event.message || "the worker stopped"));
      this.waiting.clear();
    };
  }

  call(name, values, onEvent = () => {}) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onEvent });
      this.worker.postMessage({ id, call: name, ...values });
    });
  }
}
