/** Curves of numbers over steps. */
