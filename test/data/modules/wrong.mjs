export default { length: "three" };
