"""A live Keras model in, arrays out, and the model as it was before."""
