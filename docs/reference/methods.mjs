// Typedoc plugin. The types of a tensor's methods are made from the ops' own (lib/methods.ts): an editor shows the op's
// comment there, typedoc does not look behind a mapped type. So each such property becomes a method with the comment and
// the parameters of its op.
import { Converter, ParameterReflection, ReflectionKind, SignatureReflection } from "typedoc";

/** The op's signatures without its first parameter, as signatures of `method`. */
function bind(project, op, method) {
  return op.signatures.map((from) => {
    const [first, ...parameters] = from.parameters ?? [];
    const signature = new SignatureReflection(method.name, ReflectionKind.CallSignature, method);
    project.registerReflection(signature, undefined, undefined);
    signature.type = from.type;
    signature.comment = from.comment?.clone();
    if (signature.comment) {
      const { blockTags } = signature.comment;
      signature.comment.blockTags = blockTags.filter(({ tag, name }) => tag !== "@param" || name !== first.name);
    }
    signature.parameters = parameters.map((parameter) => {
      const copy = new ParameterReflection(parameter.name, ReflectionKind.Parameter, signature);
      project.registerReflection(copy, undefined, undefined);
      copy.type = parameter.type;
      copy.defaultValue = parameter.defaultValue;
      copy.flags.fromObject(parameter.flags.toObject());
      return copy;
    });
    return signature;
  });
}

export function load(app) {
  const bindAll = ({ project }) => {
    const index = project.children.find(({ name }) => name === "index");
    const ops = new Map();
    for (const child of index.children) {
      const op = child.isReference() ? child.getTargetReflectionDeep() : child; // an op under a second name
      if (op.signatures) ops.set(child.name, op);
    }
    for (const type of project.getReflectionsByKind(ReflectionKind.Class)) {
      if (!type.children?.some(({ name }) => name === "requiresGrad_")) continue; // neither Tensor nor derived from it
      for (const method of type.children) {
        const op = ops.get(method.name);
        if (!op || method.kind !== ReflectionKind.Property) continue;
        project.removeTypeReflections(method.type);
        method.type = undefined;
        method.comment = undefined;
        method.kind = ReflectionKind.Method;
        method.signatures = bind(project, op, method);
      }
    }
  };
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, bindAll); // before parameters get their comments
}
