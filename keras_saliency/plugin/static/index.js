export async function render() {
  document.body.textContent = "The SALIENCY tab";
}
