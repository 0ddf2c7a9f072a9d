/** The maps of all inputs of the run that is shown, as `Cell.paint` takes them. */

/** The sides at a step, `[{log, method, maps}, ...]`, without waiting; `undefined` if maps aren't loaded. */
export function peekSides(context, step) {
  const sides = sidesOf(context).map((side) => ({ ...side, maps: side.log.peek(side.method, step) }));
  return sides.every(({ maps }) => maps) ? sides : undefined;
}

/** The same, once they are loaded; `maps` that can't be are an Error. */
export function loadSides(context, step) {
  const load = async ({ log, method }) => ({ log, method, maps: await log.maps(method, step).catch((error) => error) });
  return Promise.all(sidesOf(context).map(load));
}

/** Loads the maps of the neighboring steps in advance. */
export function prefetchSides(context, step) {
  for (const { log, method } of sidesOf(context)) log.prefetch(method, step);
}

function sidesOf(context) {
  return context.inputs.map((log) => ({ log, method: context.methodOf(log) }));
}
